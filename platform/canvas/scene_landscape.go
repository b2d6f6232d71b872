package canvas

// ground is what lies under the sky of a landscape.
type ground struct {
	mountains, hills, woods, water, dunes, town, open bool
}

// chooseGround takes the terrain the prompt names, or else makes one up.
func (s *scene) chooseGround() ground {
	in := s.in
	if in.has(terrain) {
		g := ground{
			mountains: in.has(mountain), hills: in.has(hill), woods: in.has(forest),
			water: in.has(sea | lake), dunes: in.has(desert), town: in.has(city), open: in.has(sea) && !in.has(lake),
		}
		if g.woods && !g.mountains && !g.water {
			g.mountains = in.may(mountain, "backdrop", 0.6)
		}
		if in.has(lake) && !g.woods && !g.hills {
			g.mountains = in.may(mountain, "backdrop", 0.9)
		}
		return g
	}
	g := ground{
		mountains: in.may(mountain, "mountain", 0.75),
		water:     in.may(lake, "lake", 0.5) && in.bans&sea == 0,
		woods:     in.may(forest, "forest", 0.5),
	}
	g.hills = in.may(hill, "hill", 0.3) || !g.mountains && !g.water
	return g
}

func paintLandscape(s *scene) {
	g := s.chooseGround()
	r := s.random("landscape")
	horizon := mul(float64(s.h), r.between(0.58, 0.68))
	if g.open {
		horizon = mul(float64(s.h), r.between(0.5, 0.6))
	}
	o := s.addSky(horizon)
	if g.mountains {
		s.addMountains(horizon, o, 3)
	} else if g.open && s.in.may(mountain, "far coast", 0.5) {
		s.addFarCoast(horizon)
	}
	s.addFlying(horizon)
	if g.town {
		s.addTown(horizon)
	}
	s.addGround(g, horizon, o)
	s.addWeather(horizon)
}

// addGround is everything in front of the mountains.
func (s *scene) addGround(g ground, horizon float64, o orb) {
	h := float64(s.h)
	front := mix(horizon, h, 0.62)
	switch {
	case g.water:
		if g.woods {
			s.addShoreWoods(horizon)
		}
		s.addWater(horizon, o, map[bool]float64{true: 0.55, false: 0.12}[g.open])
		s.addBoats(horizon)
	case g.dunes:
		s.addDunes(horizon, front, o)
	default:
		s.addHills(mix(horizon, h, 0.06), mix(horizon, h, 0.85), 4, g.woods)
	}
	s.addForeground(mix(horizon, h, 0.86), g.water && g.woods)
}

// addFarCoast is a low strip of land across an open sea.
func (s *scene) addFarCoast(horizon float64) {
	n := newNoise(s.random("coast"))
	crest := s.crest(n, outline{base: horizon + s.px(0.035), height: s.px(0.17), frequency: 1.3, sharp: 0.25, seed: 2})
	far := blend(s.pal.far, s.pal.sky[3], 0.25)
	s.add(&ridge{crest: crest, depth: s.px(0.1), high: s.pal.avoid(s.pal.far).rgb(), low: s.pal.avoid(far).rgb()})
}

// addShoreWoods is a line of trees on the far shore.
func (s *scene) addShoreWoods(horizon float64) {
	r := s.random("shore")
	n := newNoise(r)
	for i, near := range []float64{0.55, 0.25} {
		crest := s.crest(n, outline{base: horizon + s.px(0.01), height: s.px(0.035), frequency: 1.5, seed: mul(4, float64(i))})
		high, low := s.pal.ridge(near), s.pal.ridge(near+0.15)
		s.add(newShapes(s.pal.avoid(high).rgb(), s.plantForest(crest, s.px(mix(0.085, 0.045, near)), r)...))
		s.add(&ridge{crest: crest, depth: s.px(0.12), high: s.pal.avoid(high).rgb(), low: s.pal.avoid(low).rgb()})
	}
}

// addBoats sets sails on the water.
func (s *scene) addBoats(shore float64) {
	if !s.in.may(boat, "boat", 0) {
		return
	}
	r := s.random("boats")
	for range 1 + r.below(3) {
		near := r.between(0.1, 0.55)
		y := mix(shore, float64(s.h), near)
		s.drawBoat(mul(float64(s.w), r.between(0.12, 0.88)), y, s.px(mix(0.07, 0.3, near)))
	}
}

func (s *scene) drawBoat(x, y, size float64) {
	s.add(newShapes(s.ink(),
		moved(x, y, size, point{-.42, -.15}, point{.46, -.15}, point{.32, 0}, point{-.3, 0}),
		moved(x, y, size, box(-.01, -1, .022, .86)...)))
	sail := s.pal.light.rgb().to(s.pal.sky[2].rgb(), 0.2)
	s.add(newShapes(sail, moved(x, y, size, point{.03, -.96}, point{.06, -.22}, point{.4, -.22}, point{.22, -.6})))
	s.add(newShapes(sail.scaled(0.86), moved(x, y, size, point{-.03, -.88}, point{-.04, -.22}, point{-.34, -.22})))
	shade := newShapes(s.ink(), ellipse(x, y+mul(size, .03), mul(size, .42), mul(size, .035)))
	shade.alpha = 0.4
	s.add(shade)
}

// addForeground is a dark knoll with the figures on it; without figures it is grown over
// or left out.
func (s *scene) addForeground(base float64, wooded bool) {
	stands := false
	for _, f := range standing {
		stands = stands || s.in.has(f.what)
	}
	blooms := s.in.may(flower, "flowers", 0)
	if !stands && !blooms && !wooded {
		return
	}
	r := s.random("foreground")
	n := newNoise(r)
	crest := s.crest(n, outline{base: base + s.px(0.05), height: s.px(0.1), frequency: 1.1, seed: 1})
	k := s.pal.near
	k.l = mul(k.l, 0.62)
	low := k
	low.l = mul(k.l, 0.6)
	if wooded && !stands {
		s.add(newShapes(s.pal.avoid(k).rgb(), s.plantForest(crest, s.px(0.24), r)...))
	}
	s.add(&ridge{crest: crest, depth: s.px(0.25), high: s.pal.avoid(k).rgb(), low: s.pal.avoid(low).rgb()})
	s.addStanding(crest)
	if blooms {
		s.addFlowers(crest)
	}
}

// addFlowers grows blossoms on stems along the crest and below.
func (s *scene) addFlowers(crest []float64) {
	r := s.random("flowers")
	count := int(mul(70, float64(s.w)/s.unit))
	stems := newShapes(s.pal.colour(0.36, 0.08, 145))
	heads := [3]*shapes{}
	hue := []float64{350, 15, 300, 320, 60}[r.below(5)]
	for i := range heads {
		petal := lch{.72, .18, hue + mul(22, float64(i))}
		if i < len(s.in.colours) {
			petal = s.pal.accent[i]
		}
		heads[i] = newShapes(s.pal.avoid(petal).rgb())
	}
	hearts := newShapes(s.pal.colour(0.9, 0.15, 95))
	for i := range count {
		near := float64(i) / float64(count)
		x := mul(r.float(), float64(s.w))
		ground := crest[min(int(x), s.w-1)]
		y := mix(ground, float64(s.h), mul(near, 0.75))
		size := s.px(mul(mix(0.009, 0.022, near), r.between(0.8, 1.25)))
		stem := mul(size, r.between(2.5, 4.5))
		foot := point{x, y + mul(stem, .3)}
		x += mul(size, r.between(-.5, .5))
		stems.addPart(brush([]point{foot, {x, y - stem}}, []float64{max(mul(size, .28), 0.7), max(mul(size, .2), 0.6)}))
		for k := range 5 {
			turn := float64(k)/5 + near
			heads[i%3].addPart(ellipse(x+mul(cosine(turn), mul(size, .62)), y-stem+mul(sine(turn), mul(size, .55)), mul(size, .5), mul(size, .46)))
		}
		hearts.addPart(ellipse(x, y-stem, mul(size, .36), mul(size, .34)))
	}
	s.add(stems)
	for _, h := range heads {
		s.add(h)
	}
	s.add(hearts)
}
