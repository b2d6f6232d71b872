package canvas

// paintAurora is a night landscape under northern lights.
func paintAurora(s *scene) {
	s.in.hour = night
	s.pal = newPalette(s.in)
	r := s.random("aurora")
	horizon := mul(float64(s.h), r.between(0.64, 0.74))
	s.addGradient(horizon)
	if s.in.may(stars, "stars", 0.95) {
		s.addStars(horizon, 1.5)
	}
	o := orb{x: mul(float64(s.w), 0.3), y: mul(horizon, 0.2), r: s.px(0.05)}
	if s.in.has(moon) {
		o.moon, o.shown = true, true
		s.addOrb(o)
	}
	if s.in.bans&northernLights == 0 {
		s.addCurtains(horizon, r)
	}
	s.addMountains(horizon, o, 2)
	s.addFlying(horizon)
	g := s.chooseGround()
	g.mountains, g.dunes, g.town = true, false, false
	if !s.in.has(terrain) {
		g.water, g.woods = s.in.may(lake, "lake", 0.65), s.in.may(forest, "forest", 0.7)
	}
	s.addGround(g, horizon, o)
	s.addWeather(horizon)
}

// curtain is one band of northern light, described per column.
type curtain struct {
	foot  []float64 // row of its lower edge
	reach []float64 // rows over which it fades upwards
	light []float64
	sharp float64 // rows over which its lower edge fades
	tones *ramp   // from the foot upwards
}

func (s *scene) addCurtains(horizon float64, r *random) {
	n := newNoise(r)
	hue := []float64{150, 160, 175, 145}[r.below(4)]
	top := []float64{300, 330, 280, 215}[r.below(4)]
	if len(s.in.colours) > 0 {
		hue = s.in.colours[0].h
		top = s.in.colours[len(s.in.colours)-1].h + 40
	}
	foot := s.pal.avoid(lch{.86, .19, hue})
	tones := newRamp(foot, s.pal.avoid(lch{.76, .18, hue + 8}), s.pal.avoid(lch{.58, .17, mix(hue, top, 0.55)}), s.pal.avoid(lch{.45, .17, top}))
	for i := range 3 {
		k := float64(i)
		c := &curtain{sharp: s.px(0.045), tones: tones}
		c.foot, c.reach, c.light = make([]float64, s.w), make([]float64, s.w), make([]float64, s.w)
		level := mix(0.78, 0.42, k/2) + r.between(-0.05, 0.05)
		strength := mix(1.45, 0.9, k/2)
		for x := range s.w {
			u := float64(x) / s.unit
			bend := n.fbm(mul(u, 0.9)+mul(k, 9), mul(k, 4)+2, 3)
			fold := n.at(mul(u, 3.1)+mul(bend, 1.5), mul(k, 7)+1)
			ray := 0.5 + mul(0.5, n.fbm(mul(u, 22)+mul(fold, 5), mul(k, 3)+5, 3))
			c.foot[x] = mul(horizon, level+mul(0.34, bend)+mul(0.06, fold)+mul(0.035, ray))
			c.reach[x] = mul(horizon, 0.16+mul(0.26, ray)+mul(0.1, bend))
			patch := smooth(-0.25, 0.5, n.at(mul(u, 1.4)+mul(k, 5), mul(k, 2)+8))
			c.light[x] = mul(strength, mul(0.3+mul(0.7, ray), 0.05+mul(0.95, patch)))
		}
		s.add(c)
	}
}

func (c *curtain) paint(y int, row []rgb) {
	for x := range row {
		up := c.foot[x] - float64(y)
		if up < -c.sharp {
			continue
		}
		k := smooth(-c.sharp, 0, up)
		t := max(up, 0) / c.reach[x]
		if t > 3 {
			continue
		}
		band := mul(0.7, square(halo(mul(t, 2.6)))) + mul(0.42, square(halo(t)))
		k = mul(mul(k, c.light[x]), mul(band, 1-t/3))
		row[x] = row[x].lit(c.tones.at(t/1.6), k)
	}
}
