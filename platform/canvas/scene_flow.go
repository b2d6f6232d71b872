package canvas

// paintFlow folds noise through noise and reads the result as bands of silk.
func paintFlow(s *scene) {
	r := s.random("flow")
	n := newNoise(r)
	zoom := r.between(0.75, 1.15)
	twist := r.between(0.8, 1.6)
	bands := r.between(1.3, 2.3)
	f := s.newField(330, func(u, v float64) float64 {
		u, v = mul(u, zoom), mul(v, zoom)
		a, b := n.fbm(u+1.7, v+9.2, 3), n.fbm(u+8.3, v+2.8, 3)
		c, d := n.at(u+mul(twist, a)+31, v+mul(twist, b)), n.at(u+mul(twist, b)+3, v+mul(twist, a)+77)
		return n.fbm(u+mul(twist, c), v+mul(twist, d), 2)
	})
	s.flat = true
	tones := s.flowTones(r)
	shine := blend(s.pal.light, s.pal.sky[3], 0.3).rgb()
	here, above := make([]float64, s.w), make([]float64, s.w)
	lift := max(s.px(0.008), f.perCell)
	s.addFunc(func(y int, row []rgb) {
		f.row(float64(y), here)
		f.row(float64(y)-lift, above)
		for x := range row {
			t := 0.5 + mul(0.5, sine(mul(here[x], bands)+0.1))
			slope := here[x] - above[x] + here[x] - here[max(x-int(lift), 0)]
			c := tones.at(t)
			if slope > 0 {
				c = c.lit(shine, min(mul(slope, 2.6), 0.5))
			} else {
				c = c.scaled(1 + max(mul(slope, 3.2), -0.55))
			}
			row[x] = c
		}
	})
	s.addFigureMark()
}

// flowTones runs from a dark to a light colour through the palette.
func (s *scene) flowTones(r *random) *ramp {
	dark := s.pal.near
	dark.l = mix(dark.l, 0.25, 0.5)
	if len(s.in.colours) >= 2 {
		return newRamp(s.pal.avoid(dark), s.pal.accent[0], s.pal.accent[1], s.pal.avoid(lch{.94, .03, s.pal.accent[1].h}))
	}
	warm := s.pal.accent[r.below(2)]
	if len(s.in.colours) == 1 {
		warm = s.pal.accent[0]
	}
	return newRamp(s.pal.avoid(dark), s.pal.sky[1], warm, s.pal.sky[2], s.pal.sky[3])
}

// addFigureMark stamps a cat, sun or moon, if asked for, over a picture that has no ground
// to put it on.
func (s *scene) addFigureMark() {
	if s.in.has(sun | moon) {
		s.add(newShapes(s.pal.light.rgb(), ellipse(mul(float64(s.w), 0.68), mul(float64(s.h), 0.3), s.px(0.13), s.px(0.13))))
	}
	if s.in.has(standingMotifs()) {
		s.addForeground(mul(float64(s.h), 0.88), false)
	}
}
