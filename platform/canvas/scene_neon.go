package canvas

// paintNeon is a city at night: skyline, signs, a wet street and perhaps a cat.
func paintNeon(s *scene) {
	s.in.hour = night
	s.pal = newPalette(s.in)
	r := s.random("neon")
	glow := s.neonColours(r)
	street := mul(float64(s.h), r.between(0.68, 0.74))
	s.addNeonSky(street, glow)
	if s.in.may(stars, "stars", 0.8) {
		s.addStars(mul(street, 0.7), 0.8)
	}
	o := orb{x: mul(float64(s.w), r.between(0.3, 0.7)), y: mul(street, r.between(0.4, 0.55)), r: s.px(r.between(0.17, 0.23))}
	switch {
	case s.in.has(moon) && !s.in.has(sun):
		o.moon, o.shown = true, true
		o.y, o.r = mul(o.y, 0.6), mul(o.r, 0.5)
		s.addOrb(o)
	case s.in.may(sun, "neon sun", 0.75):
		o.shown = true
		s.addNeonSun(o, glow)
	}
	s.addFlying(mul(street, 0.7))
	if s.in.bans&city == 0 {
		s.addNeonCity(street, glow, r)
	} else {
		s.addMountains(street, o, 2)
	}
	s.addWater(street, orb{}, 0.35)
	s.addNeonFigures(glow)
	s.addWeather(street)
}

// neonColours are three lamp colours far apart; named colours come first.
func (s *scene) neonColours(r *random) [3]lch {
	sets := [][3]float64{{340, 200, 300}, {5, 265, 195}, {320, 170, 270}, {195, 330, 285}}
	hues := sets[r.below(len(sets))]
	var out [3]lch
	for i, h := range hues {
		out[i] = lch{.74, .24, h}
		if i < len(s.in.colours) {
			out[i] = lch{clamp01(.74 + s.in.colours[i].l), min(mul(.24, s.in.colours[i].c), .27), s.in.colours[i].h}
		}
		out[i] = s.pal.avoid(out[i])
	}
	return out
}

func (s *scene) addNeonSky(street float64, glow [3]lch) {
	dark := lch{.15, .07, glow[2].h}
	mid := lch{.30, .13, mul(0.5, glow[2].h+glow[0].h)}
	if hueDistance(glow[2].h, glow[0].h) > 150 || glow[2].h-glow[0].h > 180 || glow[0].h-glow[2].h > 180 {
		mid = lch{.30, .13, glow[2].h}
	}
	s.pal.sky = [4]lch{s.pal.avoid(dark), s.pal.avoid(mid), s.pal.avoid(lch{.46, .19, glow[0].h}), s.pal.avoid(lch{.66, .19, glow[0].h + 12})}
	s.pal.far = s.pal.avoid(lch{.36, .13, glow[2].h})
	s.pal.near = s.pal.avoid(lch{.10, .04, glow[2].h})
	s.addGradient(street)
}

// addNeonSun is the striped sun of the genre.
func (s *scene) addNeonSun(o orb, glow [3]lch) {
	face := newRamp(s.pal.avoid(lch{.92, .14, 98}), s.pal.avoid(lch{.78, .18, 50}), s.pal.avoid(lch{.66, .25, glow[0].h}))
	halo1 := glow[0].rgb()
	s.addFunc(func(y int, row []rgb) {
		dy := float64(y) + 0.5 - o.y
		t := (dy/o.r + 1) / 2
		band := 0.0
		if t > 0.45 && t < 1 {
			phase := mul(t-0.45, 13)
			phase -= float64(int(phase))
			gap := mix(0.12, 0.62, (t-0.45)/0.55)
			band = smooth(gap+0.06, gap-0.06, phase)
		}
		for x := range row {
			d := hypot(float64(x)+0.5-o.x, dy)
			row[x] = row[x].lit(halo1, mul(0.5, square(halo(max(d-o.r, 0)/mul(o.r, 0.7)))))
			if cover := clamp01(o.r - d + 0.5); cover > 0 {
				row[x] = row[x].to(face.at(t), mul(cover, 1-band))
			}
		}
	})
}

func (s *scene) addNeonCity(street float64, glow [3]lch, r *random) {
	for i := range 3 {
		near := float64(i) / 2
		b := s.newBlock(r, street, mix(0.26, 0.12, near), mix(0.6, 0.52, near), mix(0.085, 0.15, near))
		b.high = s.pal.ridge(mix(0.95, 0.1, near)).rgb()
		b.low = blend(s.pal.ridge(mix(0.85, 0.05, near)), s.pal.sky[3], mix(0.5, 0.12, near)).rgb()
		b.depth = s.px(0.6)
		b.lit, b.strength = mix(0.35, 0.3, near), mix(0.55, 0.95, near)
		b.window = [3]rgb{s.lamp(), glow[i%3].rgb(), glow[(i+1)%3].rgb().to(s.lamp(), 0.3)}
		if s.in.bans&neon == 0 && i == 2 {
			defer s.addSigns(b, glow, r)
		}
		s.add(b)
	}
}

// addSigns hangs lit tubes on the front buildings.
func (s *scene) addSigns(b *block, glow [3]lch, r *random) {
	for i, h := range b.houses {
		wide, tall := float64(h.right-h.left), float64(b.ground-h.top)
		if wide < s.px(0.06) || !r.chance(0.75) {
			continue
		}
		colour := glow[i%3]
		x := mix(float64(h.left), float64(h.right), r.between(0.25, 0.75))
		y := float64(h.top) + mul(tall, r.between(0.12, 0.4))
		if r.chance(0.5) {
			w, t := s.px(0.026), min(s.px(r.between(0.1, 0.2)), mul(tall, 0.5))
			s.addTube([]point{{x - w, y}, {x + w, y}, {x + w, y + t}, {x - w, y + t}, {x - w, y}}, colour, 1)
			for k := range int(t/s.px(0.036)) - 1 {
				cy := y + s.px(0.036*0.9) + mul(float64(k), s.px(0.036))
				s.addTube([]point{{x - mul(w, .45), cy}, {x + mul(w, .45), cy}}, glow[(i+1)%3], 0.7)
			}
			continue
		}
		w := mul(wide, 0.42)
		mid := float64(h.left+h.right) / 2
		s.addTube([]point{{mid - w, y}, {mid + w, y}}, colour, 1)
		s.addTube([]point{{mid - w, y + s.px(0.014)}, {mid + w, y + s.px(0.014)}}, colour, 0.8)
	}
}

// addNeonFigures outlines the cat, or any other figure, in light at the front.
func (s *scene) addNeonFigures(glow [3]lch) {
	base := mul(float64(s.h), 0.9)
	ledge := s.pal.near
	ledge.l = 0.07
	stands := false
	for _, f := range standing {
		stands = stands || s.in.has(f.what)
	}
	if !stands {
		return
	}
	s.add(newShapes(s.pal.avoid(ledge).rgb(), box(-1, base, float64(s.w)+2, float64(s.h)-base+1)))
	s.addTube([]point{{-5, base}, {float64(s.w) + 5, base}}, glow[1], 0.8)
	if !s.in.has(cat) {
		crest := make([]float64, s.w)
		for x := range crest {
			crest[x] = base
		}
		s.addStanding(crest)
		return
	}
	size := min(s.px(0.52), mul(float64(s.h), 0.5))
	x := mul(float64(s.w), s.random("neon cat").between(0.36, 0.6))
	parts := catParts(x, base, size)
	for i, p := range parts {
		tone := glow[0]
		if i == 4 { // the tail
			tone = glow[1]
		}
		s.addTube(append(append([]point(nil), p...), p[0]), tone, 1.1)
	}
	s.add(newShapes(s.pal.avoid(lch{.09, .03, glow[2].h}).rgb(), parts...))
	s.catEyes(x, base, mul(size, 1), glow[1].rgb().to(rgb{1, 1, 1}, 0.25))
	s.addWhiskers(x, base, size, glow[0])
}

func (s *scene) addWhiskers(x, y, size float64, colour lch) {
	k := colour.rgb()
	line := newShapes(k)
	line.alpha = 0.75
	thick := max(mul(size, 0.006), 0.6)
	for _, side := range []float64{-1, 1} {
		for i := range 3 {
			dy := mul(float64(i)-1, 0.035)
			a := point{x + mul(size, mul(side, 0.06)), y - mul(size, 0.63-mul(dy, 0.5))}
			b := point{x + mul(size, mul(side, 0.25)), y - mul(size, 0.65-mul(dy, 1.6))}
			line.addPart(brush([]point{a, b}, []float64{thick, mul(thick, 0.6)}))
		}
	}
	s.add(line)
	s.add(newShapes(k, moved(x, y, size, point{-.022, -.662}, point{.022, -.662}, point{0, -.636})))
}
