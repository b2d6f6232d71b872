package canvas

import "slices"

// ridge is one range of hills or mountains: everything below its crest.
type ridge struct {
	crest   []float64 // row of the crest by column
	slope   []float64 // its steepness by column, smoothed
	depth   float64   // rows over which its colour runs from high to low
	high    rgb
	low     rgb
	rocky   float64 // contrast of its faces, 0 for hills
	lightX  float64 // direction of light: -1 from the left, 1 from the right
	snow    float64 // row above which snow lies, 0 for none
	snowCol rgb
	rough   []float64 // noise by column, breaks up the snow line
}

func (g *ridge) paint(y int, row []rgb) {
	for x := range row {
		d := float64(y) + 1 - g.crest[x]
		if d <= 0 {
			continue
		}
		c := g.high.to(g.low, min(d/g.depth, 1))
		if g.rocky > 0 {
			c = g.face(c, x, d)
		}
		if d < 1 {
			c = row[x].to(c, d)
		}
		row[x] = c
	}
}

// face shades a mountain side: the crest's slope is carried down along zigzag lines, which
// reads as spurs and gullies.
func (g *ridge) face(c rgb, x int, d float64) rgb {
	w := len(g.slope)
	shift := mul(d, 0.42)
	i := min(max(x+int(mul(shift, g.rough[x])), 0), w-1)
	j := min(max(i-int(mul(shift, g.lightX)), 0), w-1)
	light := mul(g.slope[j]+mul(0.6, g.slope[i]), g.lightX)
	fade := 1 - smooth(0, g.depth, d)
	if g.snow > 0 {
		line := g.snow + mul(g.depth, mul(0.2, g.rough[i])+mul(0.12, light))
		k := smooth(line, line-mul(g.depth, 0.09), g.crest[x]+d)
		c = c.to(g.snowCol.scaled(0.88+mul(0.12, min(max(mul(light, 1.6), -1), 1))), k)
	}
	k := mul(mul(g.rocky, fade), min(max(light, -1), 1))
	if k > 0 {
		return c.lit(g.snowCol, k)
	}
	return c.scaled(1 + k)
}

// outline is how a ridge's crest is made.
type outline struct {
	base, height float64 // row of its foot; rows it may rise
	frequency    float64 // humps per unit
	sharp        float64 // 0 rolling, 1 alpine
	seed         float64
}

func (s *scene) crest(n *noise, o outline) []float64 {
	crest := make([]float64, s.w)
	top, bottom := 0.0, 1.0
	for x := range crest {
		u := mul(float64(x)/s.unit, o.frequency)
		rise := 0.5 + mul(0.5, n.fbm(u, o.seed, 4))
		if o.sharp > 0 {
			peaks := n.ridged(mul(u, 0.8)+7, o.seed+50, 6)
			rise = mix(rise, mul(peaks, 0.55+mul(0.5, rise)), o.sharp)
		}
		crest[x] = rise
		top, bottom = max(top, rise), min(bottom, rise)
	}
	span := max(top-bottom, 0.25) // the highest point reaches o.height in any picture
	for x, rise := range crest {
		crest[x] = o.base - mul(o.height, 0.12+mul(0.88, clamp01((rise-bottom)/span)))
	}
	return crest
}

// slopes is the crest's derivative over so many units to both sides, -1..1.
func (s *scene) slopes(crest []float64, over float64) []float64 {
	reach := max(1, int(s.px(over)))
	out := make([]float64, len(crest))
	for x := range crest {
		a, b := crest[max(x-reach, 0)], crest[min(x+reach, len(crest)-1)]
		out[x] = min(max((b-a)/mul(2, float64(reach)), -1), 1)
	}
	return out
}

// addMountains lays ranges from the horizon to the front. base is the row of their feet.
func (s *scene) addMountains(base float64, o orb, layers int) {
	r := s.random("mountains")
	n := newNoise(r)
	tall := min(s.px(r.between(0.34, 0.5)), mul(base, 0.72))
	side := 1.0
	if o.x < float64(s.w)/2 {
		side = -1
	}
	white := blend(s.pal.light, s.pal.sky[3], 0.3)
	deep := map[bool]float64{true: 1}[s.in.has(frost)]
	snowy := s.in.has(frost|mountain) || r.chance(0.6)
	for i := range layers {
		near := float64(i) / float64(layers)
		line := outline{
			base: base + s.px(mul(0.02, near)), height: mul(tall, 1-mul(0.62, near)),
			frequency: mix(1.25, 2.3, near), sharp: mix(0.9, 0.55, near), seed: mul(float64(i), 13.7) + r.between(0, 5),
		}
		g := &ridge{crest: s.crest(n, line), depth: mul(line.height, 0.95), lightX: side}
		g.slope = s.slopes(g.crest, 0.006)
		g.rough = s.roughness(n, mul(float64(i), 5.1))
		g.high = s.pal.avoid(s.pal.ridge(mix(0.86, 0.28, near))).rgb()
		g.low = s.pal.avoid(blend(s.pal.ridge(mix(0.98, 0.55, near)), s.pal.sky[3], mix(0.6, 0.2, near))).rgb()
		g.rocky = mix(0.2, 0.34, near)
		g.snowCol = white.rgb().to(g.high, mix(0.45, 0.3, near))
		if snowy && s.in.bans&frost == 0 && near < 0.7 {
			g.snow = line.base - mul(line.height, mix(0.5, 0.3, near)-mul(0.2, deep))
		}
		s.add(g)
	}
}

func (s *scene) roughness(n *noise, seed float64) []float64 {
	out := make([]float64, s.w)
	for x := range out {
		out[x] = n.fbm(mul(float64(x)/s.unit, 14), seed+90, 3)
	}
	return out
}

// addHills lays rolling ground; from and to are the rows of its first and last crest.
func (s *scene) addHills(from, to float64, layers int, wooded bool) {
	r := s.random("hills")
	n := newNoise(r)
	for i := range layers {
		near := (float64(i) + 0.5) / float64(layers)
		line := outline{
			base: mix(from, to, near), height: s.px(mix(0.07, 0.16, near)),
			frequency: mix(2.2, 1.1, near), seed: mul(float64(i), 7.3) + 3,
		}
		g := &ridge{crest: s.crest(n, line), depth: s.px(mix(0.14, 0.35, near))}
		high, low := s.pal.ridge(mix(0.62, 0, near)), s.pal.ridge(mix(0.78, 0.06, near))
		high.l += 0.05
		if wooded {
			high = low
			high.l -= 0.02
			s.add(newShapes(s.pal.avoid(high).rgb(), s.plantForest(g.crest, s.px(mix(0.035, 0.17, square(near))), r)...))
		}
		g.high, g.low = s.pal.avoid(high).rgb(), s.pal.avoid(blend(low, s.pal.far, mix(0.25, 0, near))).rgb()
		s.add(g)
	}
}

// plantForest stands conifers of about the given height along a crest.
func (s *scene) plantForest(crest []float64, height float64, r *random) []polygon {
	var trees []polygon
	w := float64(len(crest))
	for at := -height; at < w+height; at += mul(height, r.between(0.13, 0.42)) {
		tall := mul(height, r.between(0.55, 1.15))
		if r.chance(0.12) {
			at += mul(height, r.between(0.2, 0.9)) // a clearing
		}
		foot := crest[min(max(int(at), 0), len(crest)-1)]
		trees = append(trees, conifer(at, foot+mul(tall, 0.08), tall, r))
	}
	return trees
}

// conifer is a fir: tiers of branches that reach farther out and hang lower on the way down.
func conifer(x, foot, tall float64, r *random) polygon {
	tiers := min(max(int(tall/5), 3), 9)
	half := mul(tall, r.between(0.17, 0.23))
	var left, right polygon
	top := foot - tall
	left = append(left, point{x, top})
	for i := range tiers {
		t := (float64(i) + 1) / float64(tiers)
		y := top + mul(mul(tall, 0.93), t)
		tip := mul(half, mul(t, 1.25-mul(0.25, t)))
		notch := mul(tip, 0.52)
		up := mul(tall, 0.035)
		left = append(left, point{x - mul(tip, r.between(0.85, 1.12)), y}, point{x - notch, y - up})
		right = append(right, point{x + mul(tip, r.between(0.85, 1.12)), y}, point{x + notch, y - up})
	}
	trunk := mul(tall, 0.025)
	left = append(left, point{x - trunk, foot}, point{x + trunk, foot})
	slices.Reverse(right)
	return append(left, right...)
}

// addDunes lays sand whose lee sides are in shadow.
func (s *scene) addDunes(from, to float64, o orb) {
	r := s.random("dunes")
	n := newNoise(r)
	side := 1.0
	if o.x < float64(s.w)/2 {
		side = -1
	}
	sand := lch{mix(s.pal.near.l, s.pal.sky[3].l, 0.62), 0.095, 62}
	if len(s.in.colours) > 0 {
		sand = pull(sand, 62, s.in.colours[0])
	}
	const layers = 5
	for i := range layers {
		near := float64(i) / (layers - 1)
		line := outline{base: mix(from, to, near), height: s.px(mix(0.06, 0.2, near)), frequency: mix(1.7, 0.9, near), sharp: 0.25, seed: mul(float64(i), 9.1)}
		lit := blend(sand, s.pal.far, mix(0.65, 0, near))
		dark := lit
		dark.l = mul(dark.l, 0.62)
		g := &ridge{crest: s.crest(n, line), depth: s.px(0.5), lightX: side, rocky: 0.42, rough: make([]float64, s.w)}
		g.slope = s.slopes(g.crest, 0.03)
		g.high, g.low, g.snowCol = s.pal.avoid(lit).rgb(), s.pal.avoid(dark).rgb(), s.pal.light.rgb()
		s.add(g)
	}
}
