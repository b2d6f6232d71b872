package canvas

import "math"

// tiles is a grid of flat figures.
type tiles struct {
	side  float64
	left  float64
	top   float64
	key   uint64
	tones []rgb
	kinds []int
}

// Kinds of tiles.
const (
	tileArcs = iota
	tileQuarter
	tileDisc
	tileTriangle
	tileStripes
	tileWaves
	tileHalf
	tileLeaf
	tileKinds
)

// paintGeometric lays tiles whose kinds the prompt's motifs favour: discs for sun and
// moon, triangles for mountains, waves for water, leaves for woods, stripes for cities.
func paintGeometric(s *scene) {
	r := s.random("geometric")
	count := float64(4 + r.below(3))
	t := &tiles{side: s.unit / count, key: r.next()}
	t.left = -mul(0.5, mul(t.side, math.Ceil(float64(s.w)/t.side))-float64(s.w))
	t.top = -mul(0.5, mul(t.side, math.Ceil(float64(s.h)/t.side))-float64(s.h))
	t.kinds = s.tileKinds()
	t.tones = s.flatTones()
	s.flat = true
	s.add(t)
	s.addFigureMark()
}

func (s *scene) tileKinds() []int {
	kinds := []int{tileArcs, tileQuarter, tileDisc, tileTriangle, tileStripes, tileWaves, tileHalf, tileLeaf}
	favours := []struct {
		what motif
		kind int
	}{
		{sun | moon | planet | balloon, tileDisc}, {mountain | house | castle, tileTriangle}, {sea | lake | rain, tileWaves},
		{forest | tree | flower | palm, tileLeaf}, {city | neon, tileStripes}, {rainbow, tileArcs}, {hill | desert, tileHalf},
	}
	for _, f := range favours {
		if s.in.has(f.what) {
			for range tileKinds / 2 {
				kinds = append(kinds, f.kind)
			}
		}
	}
	return kinds
}

// flatTones are the poster's inks: two grounds and four colours.
func (s *scene) flatTones() []rgb {
	a := s.pal.accent
	cream, deep := lch{.95, .03, 85}, s.pal.near
	deep.l = 0.25
	tones := []lch{cream, deep, a[0], a[1], blend(s.pal.sky[1], a[0], 0.2), s.pal.sky[2]}
	if len(s.in.colours) < 2 {
		tones[3].l = 0.6
	}
	out := make([]rgb, len(tones))
	for i, k := range tones {
		out[i] = s.pal.avoid(k).rgb()
	}
	return out
}

func (t *tiles) paint(y int, row []rgb) {
	gy := (float64(y) + 0.5 - t.top) / t.side
	j := math.Floor(gy)
	for x := range row {
		gx := (float64(x) + 0.5 - t.left) / t.side
		i := math.Floor(gx)
		z := scramble(t.key ^ uint64(int(i)+99)<<32 ^ uint64(int(j)+99))
		ground := t.tones[z>>8%uint64(len(t.tones))]
		ink := int(z >> 16 % uint64(len(t.tones)-1))
		if ink >= int(z>>8%uint64(len(t.tones))) {
			ink++ // never the ground's own colour
		}
		u, v := turned(gx-i, gy-j, z>>24&3)
		d := tileDistance(t.kinds[z>>32%uint64(len(t.kinds))], u, v)
		row[x] = ground.to(t.tones[ink], clamp01(0.5-mul(d, t.side)))
	}
}

// turned rotates a place in a tile by quarter turns.
func turned(u, v float64, quarter uint64) (float64, float64) {
	switch quarter {
	case 1:
		return v, 1 - u
	case 2:
		return 1 - u, 1 - v
	case 3:
		return 1 - v, u
	}
	return u, v
}

// tileDistance is negative inside the figure, in sides of the tile.
func tileDistance(kind int, u, v float64) float64 {
	switch kind {
	case tileArcs:
		d := hypot(u, v)
		ring := mul(d, 3.5)
		ring -= math.Floor(ring)
		return max(d-1, (math.Abs(ring-0.5)-0.25)/3.5)
	case tileQuarter:
		return hypot(u, v) - 1
	case tileDisc:
		return hypot(u-0.5, v-0.5) - 0.38
	case tileTriangle:
		return (u - v) / math.Sqrt2
	case tileStripes:
		stripe := mul(u, 3)
		stripe -= math.Floor(stripe)
		return (math.Abs(stripe-0.5) - 0.25) / 3
	case tileWaves:
		wave := mul(v+mul(0.06, sine(mul(u, 2))), 4)
		wave -= math.Floor(wave)
		return (math.Abs(wave-0.5) - 0.25) / 4
	case tileHalf:
		return max(hypot(u-0.5, v-1)-0.5, 0.5-v)
	default: // tileLeaf
		return max(hypot(u, v), hypot(u-1, v-1)) - 1
	}
}
