package canvas

// building is an upright block with a grid of windows.
type building struct {
	left, right, top int
	key              uint64
	pitch            int // pixels from window to window
	spire            int // rows of mast above the roof
}

// block is one row of buildings at the same distance.
type block struct {
	ground   int
	houses   []building
	high     rgb
	low      rgb
	depth    float64
	window   [3]rgb
	lit      float64 // share of lit windows
	strength float64
}

func (b *block) paint(y int, row []rgb) {
	if y >= b.ground {
		return
	}
	for i := range b.houses {
		h := &b.houses[i]
		if y >= h.top {
			b.paintHouse(h, y, row)
		} else if mid := (h.left + h.right) / 2; y >= h.top-h.spire && mid >= 0 && mid < len(row) {
			row[mid] = b.high
		}
	}
}

func (b *block) paintHouse(h *building, y int, row []rgb) {
	wall := b.high.to(b.low, min(float64(y-h.top)/b.depth, 1))
	floor, fy := (y-h.top)/h.pitch, (y-h.top)%h.pitch
	glass := floor > 0 && fy*10 >= h.pitch*2 && fy*10 < h.pitch*7
	for x := max(h.left, 0); x < min(h.right, len(row)); x++ {
		c := wall
		in := x - h.left - h.pitch/2
		if column, fx := in/h.pitch, in%h.pitch; glass && in >= 0 && fx*10 < h.pitch*6 && x < h.right-h.pitch/2 {
			c = b.pane(c, h, column, floor)
		}
		row[x] = c
	}
}

// pane lights a window by hash; whole floors are lit or dark more often than by chance.
func (b *block) pane(wall rgb, h *building, column, floor int) rgb {
	z := scramble(h.key ^ uint64(column)<<32 ^ uint64(floor))
	share := mul(b.lit, 0.4+mul(1.2, float64(scramble(h.key^uint64(floor))>>40)/(1<<24)))
	dice := float64(z>>40) / (1 << 24)
	if dice >= share {
		return wall.scaled(0.82)
	}
	return wall.to(b.window[z%3], mul(b.strength, 0.55+mul(0.45, float64(z>>20&255)/255)))
}

// newBlock fills the width with buildings between low and high units tall.
func (s *scene) newBlock(r *random, groundRow, low, high, wide float64) *block {
	b := &block{ground: int(groundRow), lit: 0.4, strength: 0.9}
	pitch := max(2, int(mul(s.px(wide), 0.115)))
	for x := -int(s.px(mul(wide, r.float()))); x < s.w; {
		width := max(pitch*3, int(s.px(mul(wide, r.between(0.55, 1.3))))/pitch*pitch+pitch/2)
		centre := 1 - mul(0.45, square(mul((float64(x)+float64(width)/2)/float64(s.w), 2)-1))
		tall := s.px(mul(mix(low, high, square(r.float())), centre))
		h := building{left: x, right: x + width, top: b.ground - int(tall), key: r.next(), pitch: pitch}
		if r.chance(0.3) {
			h.spire = int(mul(tall, r.between(0.08, 0.25)))
			inset := width / 4
			b.houses = append(b.houses, building{left: x + inset, right: x + width - inset, top: h.top - h.spire/3, key: r.next(), pitch: pitch, spire: h.spire})
		}
		b.houses = append(b.houses, h)
		x += width + int(s.px(mul(wide, r.between(-0.1, 0.25))))
	}
	return b
}

// addTown is a skyline on the horizon of a landscape.
func (s *scene) addTown(horizon float64) {
	r := s.random("town")
	for i := range 3 {
		near := float64(i) / 2
		b := s.newBlock(r, horizon+s.px(0.06), mix(0.16, 0.08, near), mix(0.46, 0.26, near), mix(0.075, 0.1, near))
		wall := s.pal.ridge(mix(0.75, 0.2, near))
		b.high = s.pal.avoid(wall).rgb()
		b.low = s.pal.avoid(blend(wall, s.pal.sky[3], 0.35)).rgb()
		b.depth = s.px(0.4)
		b.lit, b.strength = 0.16, 0.5
		if s.pal.night() || s.pal.hour == dusk {
			b.lit, b.strength = 0.42, 0.85
		}
		b.window = [3]rgb{s.lamp(), s.pal.light.rgb(), s.lamp().to(s.pal.sky[3].rgb(), 0.4)}
		s.add(b)
	}
}
