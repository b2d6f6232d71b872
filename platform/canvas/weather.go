package canvas

// addWeather is what lies between the scene and the viewer.
func (s *scene) addWeather(horizon float64) {
	if s.in.may(fog, "fog", 0) {
		s.addFog(horizon)
	}
	if s.in.may(rain, "rain", 0) {
		s.addRain()
	}
	if s.in.may(snow, "snow", 0) {
		s.addSnow()
	}
}

// addFog thickens the air around the horizon.
func (s *scene) addFog(horizon float64) {
	n := newNoise(s.random("fog"))
	f := s.newField(160, func(u, v float64) float64 { return n.fbm(mul(u, 1.6), mul(v, 5), 4) })
	air := s.pal.sky[3].rgb()
	here := make([]float64, s.w)
	s.addFunc(func(y int, row []rgb) {
		f.row(float64(y), here)
		band := halo((float64(y) - horizon) / s.px(0.22))
		for x := range row {
			row[x] = row[x].to(air, mul(band, clamp01(0.5+mul(0.55, here[x]))))
		}
	})
}

// addRain draws slanted streaks, fainter the farther away.
func (s *scene) addRain() {
	r := s.random("rain")
	slant := r.between(0.08, 0.3)
	for i := range 3 {
		near := float64(i+1) / 3
		drops := newShapes(s.pal.sky[3].rgb().to(rgb{1, 1, 1}, 0.4))
		drops.alpha = mix(0.16, 0.34, near)
		count := int(mul(mix(260, 90, near), mul(float64(s.w)/s.unit, float64(s.h)/s.unit)))
		for range count {
			long := s.px(mul(mix(0.02, 0.07, near), r.between(0.6, 1.3)))
			thick := max(s.px(mix(0.0012, 0.0026, near)), 0.5)
			x, y := r.between(-0.1, 1.1), r.between(-0.05, 1)
			px, py := mul(x, float64(s.w)), mul(y, float64(s.h))
			drops.addPart(polygon{{px, py}, {px + thick, py}, {px + thick - mul(slant, long), py + long}, {px - mul(slant, long), py + long}})
		}
		s.add(drops)
	}
}

// addSnow draws flakes in three distances.
func (s *scene) addSnow() {
	r := s.random("snow")
	for i := range 3 {
		near := float64(i) / 2
		flakes := newShapes(rgb{0.97, 0.98, 1})
		flakes.alpha = mix(0.55, 0.85, near)
		count := int(mul(mix(240, 45, near), mul(float64(s.w)/s.unit, float64(s.h)/s.unit)))
		for range count {
			size := max(s.px(mul(mix(0.0018, 0.0062, near), r.between(0.7, 1.4))), 0.45)
			flakes.addPart(ellipse(mul(r.float(), float64(s.w)), mul(r.float(), float64(s.h)), size, size))
		}
		s.add(flakes)
	}
}
