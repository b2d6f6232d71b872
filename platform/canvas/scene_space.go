package canvas

// paintSpace is a nebula with stars and planets.
func paintSpace(s *scene) {
	s.in.hour = night
	s.pal = newPalette(s.in)
	for i := range s.pal.sky {
		s.pal.sky[i].l = mul(s.pal.sky[i].l, mix(0.55, 0.3, float64(i)/3))
		s.pal.sky[i] = s.pal.avoid(s.pal.sky[i])
	}
	s.addGradient(float64(s.h))
	if s.in.bans&nebula == 0 {
		s.addNebula()
	}
	if s.in.may(stars, "stars", 1) {
		s.addStars(mul(float64(s.h), 1.6), 1.7)
		s.addBrightStars()
	}
	if s.in.may(planet, "planet", 0.6) {
		s.addPlanets()
	}
	if s.in.has(standingMotifs()) {
		s.addForeground(mul(float64(s.h), 0.86), false)
	}
}

func standingMotifs() motif {
	var m motif
	for _, f := range standing {
		m |= f.what
	}
	return m
}

// addNebula glows in two hues along a band, with dark lanes of dust.
func (s *scene) addNebula() {
	r := s.random("nebula")
	n := newNoise(r)
	tilt := r.between(-0.7, 0.7)
	mid := r.between(0.4, 0.6)
	gas := s.newField(260, func(u, v float64) float64 {
		w := n.fbm(mul(u, 1.4)+5, mul(v, 1.4), 3)
		off := v - mul(mid, float64(s.h)/s.unit) - mul(tilt, u-mul(0.5, float64(s.w)/s.unit)) + mul(0.35, w)
		return mul(halo(mul(off, 2.6)), clamp01(0.5+mul(0.85, n.fbm(mul(u, 1.7)+mul(w, 0.9), mul(v, 1.7)-mul(w, 0.7), 5))))
	})
	dust := s.newField(260, func(u, v float64) float64 {
		w := n.at(mul(u, 2)+60, mul(v, 2))
		return smooth(0.32, 0.85, n.ridged(mul(u, 1.2)+mul(w, 0.4)+20, mul(v, 1.2)+mul(w, 0.3), 5))
	})
	hue := r.between(0, 360)
	span := r.between(60, 130)
	if c := s.in.colours; len(c) > 0 {
		hue, span = c[0].h, 40
		if len(c) > 1 {
			span = c[1].h - c[0].h
		}
	}
	glow := newRamp(s.pal.avoid(lch{.10, .05, hue}), s.pal.avoid(lch{.36, .15, hue}), s.pal.avoid(lch{.58, .18, hue + mul(span, 0.6)}),
		s.pal.avoid(lch{.78, .13, hue + span}), s.pal.avoid(lch{.95, .05, hue + span}))
	a, b := make([]float64, s.w), make([]float64, s.w)
	s.addFunc(func(y int, row []rgb) {
		gas.row(float64(y), a)
		dust.row(float64(y), b)
		for x := range row {
			k := mul(a[x], 1-mul(0.6, b[x]))
			row[x] = row[x].lit(glow.at(mul(k, 1.1)), clamp01(mul(k, 2.2)))
		}
	})
}

// addBrightStars are few, with the cross of a telescope.
func (s *scene) addBrightStars() {
	r := s.random("bright stars")
	for range 4 + r.below(5) {
		x, y := mul(r.float(), float64(s.w)), mul(r.float(), float64(s.h))
		size := s.px(r.between(0.018, 0.045))
		colour := s.pal.colour(.97, .04, []float64{250, 80, 30}[r.below(3)])
		s.addGlow(x, y, mul(size, 0.12), colour, 0.95)
		thin := max(mul(size, 0.045), 0.6)
		cross := newShapes(colour,
			polygon{{x - size, y}, {x, y - thin}, {x + size, y}, {x, y + thin}},
			polygon{{x, y - size}, {x - thin, y}, {x, y + size}, {x + thin, y}})
		cross.alpha = 0.6
		s.add(cross)
	}
}

func (s *scene) addPlanets() {
	r := s.random("planets")
	lightX := map[bool]float64{true: -0.65, false: 0.65}[r.chance(0.5)]
	big := s.px(r.between(0.16, 0.26))
	s.addPlanet(mul(float64(s.w), r.between(0.25, 0.75)), mul(float64(s.h), r.between(0.3, 0.62)), big, lightX, r)
	if r.chance(0.6) {
		s.addPlanet(mul(float64(s.w), r.between(0.08, 0.92)), mul(float64(s.h), r.between(0.1, 0.85)), mul(big, r.between(0.16, 0.3)), lightX, r)
	}
}

// world is one planet: a shaded ball with bands, and perhaps rings.
type world struct {
	x, y, r, lightX float64
	n               *noise
	tones           *ramp
	ringed          bool
	ring            rgb
	air             rgb
	bands           float64
}

func (s *scene) addPlanet(x, y, radius, lightX float64, r *random) {
	hue := r.between(0, 360)
	if c := s.in.colours; len(c) > 0 {
		hue = c[len(c)-1].h
	}
	p := &world{x: x, y: y, r: radius, lightX: lightX, n: newNoise(r), ringed: r.chance(0.6), bands: r.between(2, 6)}
	p.tones = newRamp(s.pal.avoid(lch{.42, .11, hue + 20}), s.pal.avoid(lch{.62, .13, hue}), s.pal.avoid(lch{.80, .09, hue - 25}), s.pal.avoid(lch{.92, .04, hue - 10}))
	p.ring = s.pal.avoid(lch{.85, .06, hue + 15}).rgb()
	p.air = s.pal.avoid(lch{.8, .1, hue}).rgb()
	s.add(p)
}

func (p *world) paint(y int, row []rgb) {
	dy := (float64(y) + 0.5 - p.y) / p.r
	if dy < -1.6 || dy > 1.6 {
		return
	}
	reach := mul(p.r, 2.3)
	for x := max(0, pixelOf(p.x-reach)); x <= min(len(row)-1, pixelOf(p.x+reach)); x++ {
		dx := (float64(x) + 0.5 - p.x) / p.r
		d := hypot(dx, dy)
		ring := p.ringAt(dx, dy)
		if ring > 0 && dy < mul(dx, 0.22) { // the far half passes behind
			row[x] = row[x].to(p.ring, ring)
		}
		if d > 1 {
			row[x] = row[x].lit(p.air, mul(0.35, smooth(1.14, 1, d)))
		}
		if cover := clamp01(mul(1-d, p.r) + 0.5); cover > 0 {
			row[x] = row[x].to(p.ball(dx, dy, d), cover)
		}
		if ring > 0 && dy >= mul(dx, 0.22) {
			row[x] = row[x].to(p.ring, ring)
		}
	}
}

func (p *world) ball(dx, dy, d float64) rgb {
	up := dy - mul(dx, 0.22)
	z := square(max(0, 1-square(d)))
	wave := p.n.fbm(mul(dx, 1.2)+7, mul(up, 3)+2, 3)
	t := 0.5 + mul(0.5, p.n.at(3.3, mul(up, p.bands)+mul(0.5, wave))) + mul(0.18, wave)
	light := clamp01(0.22 + mul(dx, p.lightX) - mul(dy, 0.45) + mul(0.5, z))
	return p.tones.at(t).scaled(0.05+mul(0.95, light)).lit(p.air, mul(0.22, mul(light, 1-z)))
}

// ringAt is how dense the rings are at a place, 0..1.
func (p *world) ringAt(dx, dy float64) float64 {
	if !p.ringed {
		return 0
	}
	e := hypot(dx, mul(dy-mul(dx, 0.22), 3.6))
	if e < 1.3 || e > 2.15 {
		return 0
	}
	edge := mul(smooth(1.3, 1.36, e), smooth(2.15, 2.05, e))
	return mul(edge, 0.45+mul(0.4, p.n.at(mul(e, 14), 1.7)))
}
