package canvas

// paintWatercolor is a landscape in washes: each layer filters the paper's light, pools at
// its edges and granulates in the paper's grain.
func paintWatercolor(s *scene) {
	r := s.random("watercolor")
	p := s.newPaper(r)
	horizon := mul(float64(s.h), r.between(0.55, 0.66))
	s.addFunc(func(y int, row []rgb) {
		p.start(y)
		for x := range row {
			row[x] = p.sheet
		}
	})
	o := s.placeOrb(horizon)
	p.addSkyWash(horizon, o)
	g := s.chooseGround()
	p.addRanges(g, horizon)
	if g.water {
		p.addWash(flatCrest(s.w, horizon+s.px(0.012)), blend(s.pal.sky[1], s.pal.near, 0.25), 0.75, s.px(0.4))
		p.addWash(flatCrest(s.w, mix(horizon, float64(s.h), 0.45)), s.pal.sky[1], 0.35, s.px(0.4))
	}
	s.addFlying(horizon)
	if g.water {
		s.addBoats(horizon)
	}
	p.addFront(g, horizon)
	s.addWeather(horizon)
	p.addMargin()
}

// paper holds the grain and the pigment's blotches for the row being painted.
type paper struct {
	s      *scene
	sheet  rgb
	n      *noise
	blots  *field
	pool   []float64 // blotches of this row
	grain  []float64 // grain of this row
	second float64   // grain cells per pixel
}

func (s *scene) newPaper(r *random) *paper {
	p := &paper{s: s, n: newNoise(r), sheet: s.pal.avoid(lch{.975, .012, 85}).rgb()}
	p.blots = s.newField(220, func(u, v float64) float64 {
		w := p.n.at(mul(u, 3), mul(v, 3)+40)
		return p.n.fbm(mul(u, 2.2)+mul(w, 0.5), mul(v, 2.2)+mul(w, 0.5), 5)
	})
	p.pool, p.grain = make([]float64, s.w), make([]float64, s.w)
	p.second = 200 / s.unit
	return p
}

func (p *paper) start(y int) {
	p.blots.row(float64(y), p.pool)
	v := mul(float64(y), p.second)
	for x := range p.grain {
		p.grain[x] = p.n.at(mul(float64(x), p.second), v)
	}
}

// wet lays pigment of a density on a pixel.
func (p *paper) wet(c rgb, x int, pigment rgb, density float64) rgb {
	k := clamp01(mul(density, 1+mul(0.55, p.pool[x])+mul(0.1, p.grain[x])))
	return c.times(rgb{1, 1, 1}.to(pigment, k))
}

// addSkyWash leaves the sun out of the wash, as one does on paper, or tints the moon.
func (p *paper) addSkyWash(horizon float64, o orb) {
	s := p.s
	tones := newRamp(s.pal.sky[0], s.pal.sky[1], s.pal.sky[2], s.pal.sky[3])
	warm := s.pal.light
	warm.c += 0.06
	disc := s.pal.avoid(warm).rgb()
	cloudy := s.in.may(clouds, "clouds", 0.7)
	s.addFunc(func(y int, row []rgb) {
		if float64(y) > horizon+s.px(0.1) {
			return
		}
		t := float64(y) / horizon
		fade := 1 - smooth(0.8, 1.1, t)
		for x := range row {
			density := mul(0.95, fade)
			if cloudy {
				density = mul(density, 1-mul(0.8, smooth(0.05, 0.45, p.pool[x])))
			}
			c := p.wet(row[x], x, tones.at(t+mul(0.12, p.pool[x])), density)
			if o.shown {
				d := hypot(float64(x)-o.x, float64(y)-o.y) + mul(s.px(0.012), p.pool[x])
				c = c.to(p.sheet.times(disc), smooth(o.r+s.px(0.012), o.r-s.px(0.004), d))
				c = c.lit(disc, mul(0.4, square(halo(d/mul(o.r, 2.2)))))
			}
			row[x] = c
		}
	})
}

func flatCrest(w int, y float64) []float64 {
	out := make([]float64, w)
	for x := range out {
		out[x] = y
	}
	return out
}

// addWash covers everything below a crest, thinning out over depth rows.
func (p *paper) addWash(crest []float64, pigment lch, density, depth float64) {
	s := p.s
	colour := s.pal.avoid(pigment).rgb()
	edge := s.px(0.006)
	wobble := s.px(0.01)
	s.addFunc(func(y int, row []rgb) {
		for x := range row {
			d := float64(y) - crest[x] + mul(wobble, p.pool[x]) + mul(s.px(0.0025), p.grain[x])
			if d < -1 {
				continue
			}
			k := mix(1, 0.62, min(max(d, 0)/depth, 1)) + mul(0.5, halo(d/edge))
			row[x] = p.wet(row[x], x, colour, mul(mul(density, k), smooth(-1, 1, d)))
		}
	})
}

// addRanges are the hills and mountains, pale at first.
func (p *paper) addRanges(g ground, horizon float64) {
	s := p.s
	sharp, tall := 0.2, 0.2
	if g.mountains {
		sharp, tall = 0.85, 0.4
	}
	if g.open && !g.mountains {
		tall = 0.07
	}
	n := newNoise(s.random("ranges"))
	for i := range 3 {
		near := float64(i) / 3
		crest := s.crest(n, outline{base: horizon + s.px(0.02), height: s.px(mul(tall, 1-mul(0.6, near))), frequency: mix(1.2, 2, near), sharp: sharp, seed: mul(float64(i), 6.1)})
		k := s.pal.ridge(mix(0.95, 0.5, near))
		k.l = mix(k.l, 0.8, 0.35)
		p.addWash(crest, k, mix(0.5, 0.75, near), s.px(0.3))
	}
}

// addFront is the darkest wash, with trees and figures.
func (p *paper) addFront(g ground, horizon float64) {
	s := p.s
	r := s.random("front")
	n := newNoise(r)
	h := float64(s.h)
	levels := []float64{0.3, 0.7}
	if g.water {
		levels = []float64{0.85}
	}
	for i, level := range levels {
		crest := s.crest(n, outline{base: mix(horizon, h, level) + s.px(0.05), height: s.px(0.12), frequency: 1.2, seed: mul(float64(i), 3.3)})
		k := s.pal.ridge(mix(0.4, 0.12, level))
		k.l = mix(k.l, 0.62, 0.45)
		if g.woods {
			fir := s.pal.ridge(mix(0.3, 0.05, level))
			fir.l = mix(fir.l, 0.42, 0.4)
			trees := newShapes(s.pal.avoid(fir).rgb(), s.plantForest(crest, s.px(mix(0.1, 0.2, level)), r)...)
			trees.alpha = 0.9
			s.add(trees)
		}
		p.addWash(crest, k, 0.95, s.px(0.5))
		if i == len(levels)-1 {
			s.addStanding(crest)
			if s.in.may(flower, "flowers", 0) {
				s.addFlowers(crest)
			}
		}
	}
}

// addMargin leaves the rim of the sheet white, with the torn edge of masking tape.
func (p *paper) addMargin() {
	s := p.s
	rim := s.px(0.045)
	s.addFunc(func(y int, row []rgb) {
		fy := min(float64(y), float64(s.h-1-y))
		for x := range row {
			d := min(min(float64(x), float64(s.w-1-x)), fy) - rim + mul(s.px(0.006), p.pool[x]) + mul(s.px(0.002), p.grain[x])
			c := row[x].to(p.sheet, smooth(1, -1, d))
			row[x] = c.scaled(1 - mul(0.018, 1+p.grain[x]))
		}
	})
}
