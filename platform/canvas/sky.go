package canvas

import "math"

// orb is the sun or the moon.
type orb struct {
	x, y, r float64 // pixels
	moon    bool
	shown   bool
}

// addSky lays the gradient down to the horizon (a row) and what is in the sky.
func (s *scene) addSky(horizon float64) orb {
	o := s.placeOrb(horizon)
	s.addGradient(horizon)
	if s.pal.night() && s.in.may(stars, "stars", 0.9) || s.in.has(stars) {
		s.addStars(horizon, 1)
	}
	if o.shown {
		s.addOrb(o)
	}
	if s.in.may(clouds, "clouds", 0.6) {
		s.addClouds(horizon, o)
	}
	if s.in.may(rainbow, "rainbow", 0) {
		s.addRainbow(horizon)
	}
	return o
}

func (s *scene) placeOrb(horizon float64) orb {
	r := s.random("orb")
	o := orb{x: mul(float64(s.w), r.between(0.2, 0.8)), r: s.px(r.between(0.055, 0.085))}
	height := r.between(0.28, 0.6)
	if s.pal.hour == dawn || s.pal.hour == dusk {
		height = r.between(0.72, 0.93)
		o.r = mul(o.r, 1.25)
	}
	o.y = mul(horizon, height)
	o.moon = s.pal.night() && !s.in.has(sun) || s.in.has(moon) && !s.in.has(sun)
	what := sun
	if o.moon {
		what = moon
	}
	o.shown = s.in.may(what, "orb", 0.85)
	return o
}

func (s *scene) addGradient(horizon float64) {
	colours := s.pal.skyRamp()
	s.addFunc(func(y int, row []rgb) {
		c := colours.at(float64(y) / horizon)
		for x := range row {
			row[x] = c
		}
	})
}

func (s *scene) addOrb(o orb) {
	light := s.pal.light.rgb()
	glow, reach := 0.55, mul(o.r, 2.4)
	if o.moon {
		glow, reach = 0.2, mul(o.r, 1.9)
	}
	face := newNoise(s.random("face"))
	crescent := o.moon && s.random("crescent").chance(0.35)
	s.addFunc(func(y int, row []rgb) {
		dy := float64(y) + 0.5 - o.y
		for x := range row {
			dx := float64(x) + 0.5 - o.x
			d := hypot(dx, dy)
			out := max(d-o.r, 0)
			h := halo(out / reach)
			row[x] = row[x].lit(light, mul(glow, mul(h, h))+mul(0.22, halo(out/mul(o.r, 9))))
			if d > o.r+1 {
				continue
			}
			cover := clamp01(o.r - d + 0.5)
			row[x] = row[x].to(o.surface(face, dx/o.r, dy/o.r, light), mul(cover, o.lit(dx, dy, crescent)))
		}
	})
}

// surface is the sun's even face or the moon's with its seas.
func (o orb) surface(face *noise, x, y float64, light rgb) rgb {
	if !o.moon {
		return light.to(rgb{1, 1, 1}, 0.35)
	}
	seas := smooth(-0.05, 0.5, face.fbm(mul(x, 1.3)+4, mul(y, 1.3)+9, 4))
	edge := mul(0.14, square(square(min(hypot(x, y), 1))))
	return light.scaled(1 - mul(0.22, seas) - edge)
}

// lit is 1 on the lit part of the disc; a crescent's dark part shows the sky.
func (o orb) lit(dx, dy float64, crescent bool) float64 {
	if !crescent {
		return 1
	}
	shadow := hypot(dx-mul(o.r, 0.5), dy+mul(o.r, 0.22))
	return clamp01(shadow - mul(o.r, 0.92) + 0.5)
}

// star is one light; stars are kept by the row they begin on.
type star struct {
	x, y, r, light float64
	colour         rgb
}

// addStars scatters stars above the row bottom; density 1 suits a landscape.
func (s *scene) addStars(bottom, density float64) {
	r := s.random("stars")
	area := mul(float64(s.w)/s.unit, bottom/s.unit)
	count := int(mul(mul(420, density), area))
	byRow := make([][]star, s.h)
	scale := max(s.unit/512, 0.6)
	for range count {
		b := r.float()
		b = mul(b, mul(b, square(b)))
		st := star{
			x: mul(float64(s.w), r.float()), y: mul(bottom, r.float()),
			r:     mul(scale, mix(0.55, 1.5, b)),
			light: mix(0.25, 1, b),
		}
		st.colour = s.pal.colour(0.95, 0.035, []float64{250, 80, 220, 40}[r.below(4)])
		st.light = mul(st.light, 1-mul(0.75, square(st.y/bottom)))
		first := max(0, pixelOf(st.y-mul(5, st.r)))
		if first < s.h {
			byRow[first] = append(byRow[first], st)
		}
	}
	s.add(&starLayer{byRow: byRow})
}

type starLayer struct {
	byRow  [][]star
	active []star
}

func (l *starLayer) paint(y int, row []rgb) {
	l.active = append(l.active, l.byRow[y]...)
	kept := l.active[:0]
	for _, st := range l.active {
		reach := mul(5, st.r)
		dy := float64(y) + 0.5 - st.y
		if dy > reach {
			continue
		}
		kept = append(kept, st)
		for x := max(0, pixelOf(st.x-reach)); x <= min(len(row)-1, pixelOf(st.x+reach)); x++ {
			d2 := square(float64(x)+0.5-st.x) + square(dy)
			k := 1 / (1 + d2/square(st.r))
			row[x] = row[x].lit(st.colour, mul(st.light, mul(k, k)))
		}
	}
	l.active = kept
}

// addClouds draws fbm clouds, flattened towards the horizon and lit from the orb's side.
func (s *scene) addClouds(horizon float64, o orb) {
	r := s.random("clouds")
	n := newNoise(r)
	cover := r.between(-0.02, 0.16)
	if s.in.has(clouds | rain) {
		cover = -0.12
	}
	stretch := r.between(1.3, 2.6)
	f := s.newField(300, func(u, v float64) float64 {
		deep := 1.25 - min(mul(v, s.unit)/horizon, 1)
		u, v = mul(u, 1.6/stretch), mul(v, 2.1)
		u, v = u/mix(0.55, 1, deep), v/mix(0.4, 1, deep)
		w := n.at(mul(u, 1.5)+40, mul(v, 1.5))
		return n.fbm(u+mul(w, 0.35), v+mul(w, 0.2), 5)
	})
	shade := blend(s.pal.sky[1], s.pal.sky[2], 0.5)
	shade.l = mul(shade.l, 0.88)
	dark := s.pal.avoid(shade).rgb()
	bright := blend(s.pal.sky[3], s.pal.light, 0.6).rgb()
	strength := 0.9
	if s.pal.night() {
		bright, strength = s.pal.sky[3].rgb(), 0.55
	}
	here, sunward := make([]float64, s.w), make([]float64, s.w)
	side := s.px(0.035)
	if o.y > mul(horizon, 0.66) {
		side = -side // a low sun lights clouds from below
	}
	s.addFunc(func(y int, row []rgb) {
		fy := float64(y)
		if fy > horizon {
			return
		}
		f.row(fy, here)
		f.row(fy-side, sunward)
		fade := mul(strength, mul(smooth(0, 0.1, fy/horizon)+0.2, 1/1.2))
		for x := range row {
			a := smooth(cover, cover+0.42, here[x])
			if a > 0 {
				c := dark.to(bright, clamp01(0.55+mul(1.7, here[x]-sunward[x])))
				row[x] = row[x].to(c, mul(a, fade))
			}
		}
	})
}

func (s *scene) addRainbow(horizon float64) {
	bands := newRamp(lch{.6, .2, 305}, lch{.6, .2, 260}, lch{.75, .18, 150}, lch{.88, .18, 100}, lch{.7, .2, 55}, lch{.6, .22, 25})
	r := mul(min(float64(s.w), mul(horizon, 2)), 0.46)
	cx, cy := mul(float64(s.w), 0.5), horizon
	width := s.px(0.075)
	s.addFunc(func(y int, row []rgb) {
		for x := range row {
			d := hypot(float64(x)-cx, float64(y)-cy) - r
			t := d / width
			if t > 0 && t < 1 {
				edge := mul(smooth(0, 0.25, t), smooth(1, 0.75, t))
				row[x] = row[x].to(bands.at(t), mul(0.5, edge))
			}
			if d < 0 { // a rainbow's inside is brighter
				row[x] = row[x].lit(rgb{1, 1, 1}, mul(0.07, math.Max(0, 1+mul(d, 2)/r)))
			}
		}
	})
}
