package database

// Stretch is how to reach a page of an ordered list from its nearer end, so
// that the last page costs what the first does and none more than one halfway.
type Stretch struct {
	Backward bool // read in reverse order, and turn round what was read
	Skip     int  // how many rows are passed over
	Take     int  // how many are read; 0 = the page is beyond the end
}

// StretchOf returns the stretch of up to limit rows after offset in a list of
// total rows.
func StretchOf(offset, limit int, total int64) Stretch {
	left := total - int64(offset)
	switch {
	case left <= 0:
		return Stretch{}
	case int64(offset) <= total/2:
		return Stretch{Skip: offset, Take: int(min(int64(limit), left))}
	default:
		take := min(int64(limit), left)
		return Stretch{Backward: true, Skip: int(left - take), Take: int(take)}
	}
}
