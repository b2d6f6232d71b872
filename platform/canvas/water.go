package canvas

// water mirrors the rows above its shore. Waves are noise in perspective: finer and
// flatter towards the horizon.
type water struct {
	s       *scene
	shore   float64
	n       *noise
	tint    rgb
	deep    rgb
	light   rgb
	o       orb
	rough   float64 // 0 a mirror, 1 an open sea
	stretch float64 // how far up the mirror looks per row
	last    int     // lowest row that can be mirrored
}

// addWater fills everything below shore.
func (s *scene) addWater(shore float64, o orb, rough float64) {
	deep := blend(s.pal.sky[0], s.pal.near, 0.35)
	tint := blend(s.pal.sky[1], s.pal.sky[2], 0.5)
	s.add(&water{
		s: s, shore: shore, n: newNoise(s.random("water")), o: o, rough: rough,
		tint: s.pal.avoid(tint).rgb(), deep: s.pal.avoid(deep).rgb(), light: s.pal.light.rgb(),
		last: pixelOf(shore) - 1, stretch: shore / max(float64(s.h)-shore, 1),
	})
}

func (w *water) paint(y int, row []rgb) {
	down := float64(y) - w.shore
	if down < 0 {
		return
	}
	unit := w.s.unit
	t := down / max(float64(w.s.h)-w.shore, 1)
	far := 1 / (t + 0.06) // waves per unit grow with it
	vy := mul(mul(far, 5.5), 0.9)
	size := mix(3.2, 9, min(far/14, 1))
	mirror := w.shore - mul(down, min(w.stretch, 1.15))
	sway := mul(mix(0.008, 0.05, t), mul(unit, 0.4+w.rough))
	lane := mul(w.o.r, 0.7+mul(2.6, t)) // half width of the light on the water
	haze := mul(0.35, halo(mul(t, 9)))
	for x := range row {
		u := mul(float64(x)/unit, size)
		wave := w.n.at(u+mul(t, 3), vy) + mul(0.5, w.n.at(mul(u, 2.7)+11, mul(vy, 2.3)))
		c := w.s.seen(x+int(mul(wave, mul(sway, 0.5))), min(int(mirror+mul(wave, mul(sway, 1.4))), w.last))
		c = c.to(w.tint, 0.16+mul(0.2, w.rough)).to(w.deep, mix(0.1, 0.42, t))
		crest := smooth(0.1, 0.75, wave)
		c = c.lit(w.tint, mul(crest, 0.07+mul(0.13, w.rough)))
		c = c.scaled(1 - mul(0.1, smooth(0.05, 0.7, -wave)))
		if w.o.shown {
			d := (float64(x) - w.o.x) / lane
			glint := mul(halo(mul(d, 1.3)), halo(d))
			c = c.lit(w.light, mul(glint, 0.1+mul(0.75, smooth(0.12, 0.5, wave))))
		}
		row[x] = c.to(w.tint, haze)
	}
}
