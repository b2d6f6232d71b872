package canvas

// addFlying puts birds and balloons into the sky above the row bottom.
func (s *scene) addFlying(bottom float64) {
	if s.in.may(bird, "birds", 0) {
		s.addBirds(bottom, 5+s.random("birds count").below(7))
	}
	if s.in.may(balloon, "balloons", 0) {
		s.addBalloons(bottom)
	}
}

func (s *scene) addBirds(bottom float64, count int) {
	r := s.random("birds")
	cx, cy := mul(float64(s.w), r.between(0.25, 0.75)), mul(bottom, r.between(0.25, 0.5))
	var flock []polygon
	for range count {
		size := s.px(r.between(0.016, 0.034))
		x, y := cx+s.px(r.between(-0.24, 0.24)), cy+s.px(r.between(-0.11, 0.11))
		lift := r.between(0.25, 0.7)
		wings := curveLine(point{-1, -lift}, point{-.5, -mul(lift, .75)}, point{0, .1}, point{.5, -mul(lift, .75)}, point{1, -lift})
		widths := make([]float64, len(wings))
		for i := range widths {
			t := float64(i) / float64(len(wings)-1)
			widths[i] = 0.03 + mul(0.9, mul(t, 1-t))
		}
		flock = append(flock, moved(x, y, size, brush(wings, widths)...))
	}
	s.add(newShapes(s.ink(), flock...))
}

func (s *scene) addBalloons(bottom float64) {
	r := s.random("balloons")
	for i := range 2 + r.below(3) {
		size := s.px(r.between(0.06, 0.1))
		if i == 0 {
			size = s.px(0.15)
		}
		x := mul(float64(s.w), (float64(i)+r.between(0.3, 0.9))/4)
		s.drawBalloon(x, mul(bottom, r.between(0.22, 0.55)), size, i)
	}
}

func (s *scene) drawBalloon(x, y, r float64, i int) {
	a, b := s.pal.accent[i%4].rgb(), s.pal.accent[(i+1)%4].rgb().to(rgb{1, 1, 1}, 0.35)
	hull := curved(moved(x, y, r, point{0, -1}, point{.7, -.72}, point{1, 0}, point{.72, .68}, point{.22, 1.22}, point{-.22, 1.22}, point{-.72, .68}, point{-1, 0}, point{-.7, -.72}))
	body := newShapes(a, hull)
	body.colour = func(px, _ int) rgb {
		t := (float64(px) - x) / r
		c := a
		if bend := mul(t, 1.35-mul(0.35, square(t))); pixelOf(mul(bend, 2.5)+0.5)&1 == 1 {
			c = b
		}
		return c.scaled(1 - mul(0.3, clamp01(t+0.35)))
	}
	s.add(body)
	s.add(newShapes(s.ink(),
		moved(x, y, r, box(-.17, 1.62, .34, .26)...),
		moved(x, y, r, box(-.2, 1.2, .03, .45)...), moved(x, y, r, box(.17, 1.2, .03, .45)...)))
}
