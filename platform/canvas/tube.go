package canvas

import "math"

// tube is a bent neon lamp: a bright core along a line and a glow around it.
type tube struct {
	line     []point
	core     rgb
	colour   rgb
	width    float64
	reach    float64 // pixels to where the glow is cut off
	strength float64
	lo, hi   point // bounds with reach
	glow     []float64
	cell     float64
	cols     int
}

// addTube lights a line of points with the given strength.
func (s *scene) addTube(line []point, colour lch, strength float64) {
	t := &tube{
		line: line, colour: colour.rgb(), strength: strength,
		width: max(s.px(0.0055), 1.1), reach: s.px(0.11), cell: max(1, s.unit/150),
	}
	t.core = t.colour.to(rgb{1, 1, 1}, 0.62)
	t.lo, t.hi = point{1e9, 1e9}, point{-1e9, -1e9}
	for _, p := range line {
		t.lo = point{min(t.lo.x, p.x-t.reach), min(t.lo.y, p.y-t.reach)}
		t.hi = point{max(t.hi.x, p.x+t.reach), max(t.hi.y, p.y+t.reach)}
	}
	t.lo.x, t.hi.x = max(t.lo.x, 0), min(t.hi.x, float64(s.w))
	t.lo.y, t.hi.y = max(t.lo.y, 0), min(t.hi.y, float64(s.h))
	if t.lo.x >= t.hi.x || t.lo.y >= t.hi.y {
		return
	}
	t.fillGlow(s)
	s.add(t)
}

// fillGlow samples the glow on a coarse grid: it is soft, and distances are dear.
func (t *tube) fillGlow(s *scene) {
	t.cols = int((t.hi.x-t.lo.x)/t.cell) + 3
	rows := int((t.hi.y-t.lo.y)/t.cell) + 3
	t.glow = make([]float64, t.cols*rows)
	spread := mul(t.reach, 0.2)
	for j := range rows {
		if s.ctx.Err() != nil {
			return
		}
		for i := range t.cols {
			x, y := t.lo.x+mul(float64(i), t.cell), t.lo.y+mul(float64(j), t.cell)
			d := t.distance(x, y)
			k := mul(halo(d/spread), 1-smooth(mul(t.reach, 0.4), t.reach, d))
			t.glow[j*t.cols+i] = mul(k, mul(0.62, t.strength))
		}
	}
}

// distance is the distance to the nearest piece of the line.
func (t *tube) distance(x, y float64) float64 {
	best := 1e18
	for i := 1; i < len(t.line); i++ {
		best = min(best, segmentDistance2(t.line[i-1], t.line[i], x, y))
	}
	return math.Sqrt(best)
}

func segmentDistance2(a, b point, x, y float64) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	px, py := x-a.x, y-a.y
	if long := square(dx) + square(dy); long > 0 {
		k := clamp01((mul(px, dx) + mul(py, dy)) / long)
		px -= mul(dx, k)
		py -= mul(dy, k)
	}
	return square(px) + square(py)
}

func (t *tube) paint(y int, row []rgb) {
	fy := float64(y) + 0.5
	if fy < t.lo.y || fy > t.hi.y {
		return
	}
	t.paintGlow(fy, row)
	for i := 1; i < len(t.line); i++ {
		a, b := t.line[i-1], t.line[i]
		if fy < min(a.y, b.y)-t.width-1 || fy > max(a.y, b.y)+t.width+1 {
			continue
		}
		from := max(pixelOf(min(a.x, b.x)-t.width-1), 0)
		to := min(pixelOf(max(a.x, b.x)+t.width+1), len(row)-1)
		for x := from; x <= to; x++ {
			d := math.Sqrt(segmentDistance2(a, b, float64(x)+0.5, fy))
			if cover := clamp01(mul(t.width, 0.5) - d + 0.5); cover > 0 {
				row[x] = row[x].to(t.core, mul(cover, min(t.strength, 1)))
			}
		}
	}
}

func (t *tube) paintGlow(fy float64, row []rgb) {
	gy := (fy - t.lo.y) / t.cell
	j := int(gy)
	v := gy - float64(j)
	top, low := t.glow[j*t.cols:(j+1)*t.cols], t.glow[(j+1)*t.cols:(j+2)*t.cols]
	for x := int(t.lo.x); x < min(int(t.hi.x), len(row)); x++ {
		gx := max(float64(x)+0.5-t.lo.x, 0) / t.cell
		i := int(gx)
		u := gx - float64(i)
		k := mix(mix(top[i], top[i+1], u), mix(low[i], low[i+1], u), v)
		if k > 0 {
			row[x] = row[x].lit(t.colour, k)
		}
	}
}
