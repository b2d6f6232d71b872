package canvas

import "math"

// figure draws a silhouette standing at (x, y), size pixels tall.
type figure func(s *scene, x, y, size float64, r *random)

// standing figures need ground under them; in drawing order.
var standing = []struct {
	what   motif
	size   float64 // height in units
	room   float64 // width it takes, in units
	figure figure
}{
	{castle, 0.34, 0.40, drawCastle},
	{lighthouse, 0.42, 0.22, drawLighthouse},
	{house, 0.15, 0.26, drawHouse},
	{tree, 0.34, 0.32, drawTree},
	{palm, 0.42, 0.28, drawPalm},
	{cactus, 0.24, 0.18, drawCactus},
	{rocket, 0.36, 0.16, drawRocket},
	{cat, 0.27, 0.26, drawCat},
}

// addStanding puts the wanted figures along a crest, side by side.
func (s *scene) addStanding(crest []float64) {
	r := s.random("figures")
	var wide float64
	for _, f := range standing {
		if s.in.has(f.what) {
			wide += f.room
		}
	}
	if wide == 0 {
		return
	}
	shrink := min(1, float64(s.w)/s.unit/mul(wide, 1.1))
	slack := float64(s.w)/s.unit - mul(wide, shrink)
	at := mul(slack, r.between(0.2, 0.8))
	for _, f := range standing {
		if !s.in.has(f.what) {
			continue
		}
		x := s.px(at + mul(mul(f.room, shrink), 0.5))
		foot := crest[min(max(int(x), 0), s.w-1)] + s.px(0.006)
		f.figure(s, x, foot, s.px(mul(f.size, shrink)), r)
		at += mul(f.room, shrink)
	}
}

// ink is the colour of silhouettes in front.
func (s *scene) ink() rgb {
	k := s.pal.near
	k.l = mul(k.l, 0.45)
	return s.pal.avoid(k).rgb()
}

func (s *scene) lamp() rgb { return s.pal.colour(0.88, 0.13, 82) }

// catParts is a sitting cat, one unit tall, its feet at the origin.
func catParts(x, y, size float64) []polygon {
	body := moved(x, y, size, point{-.22, 0}, point{-.275, -.07}, point{-.27, -.2}, point{-.2, -.38}, point{-.14, -.54},
		point{0, -.64}, point{.14, -.54}, point{.2, -.38}, point{.27, -.2}, point{.275, -.07}, point{.22, 0}, point{0, .01})
	head := moved(x, y, size, point{-.2, -.73}, point{-.19, -.64}, point{-.1, -.57}, point{0, -.555}, point{.1, -.57},
		point{.19, -.64}, point{.2, -.73}, point{.16, -.83}, point{0, -.87}, point{-.16, -.83})
	left := moved(x, y, size, point{-.2, -.74}, point{-.205, -.88}, point{-.175, -1}, point{-.1, -.93}, point{-.03, -.85})
	right := moved(x, y, size, point{.2, -.74}, point{.205, -.88}, point{.175, -1}, point{.1, -.93}, point{.03, -.85})
	tail := curveLine(point{.16, -.05}, point{.32, -.035}, point{.46, -.08}, point{.525, -.2}, point{.48, -.32}, point{.425, -.41}, point{.45, -.51})
	widths := make([]float64, len(tail))
	for i := range widths {
		widths[i] = mix(.11, .055, float64(i)/float64(len(widths)))
	}
	end := len(widths) - 1 // round the tip
	widths[end-1], widths[end] = .048, .014
	return []polygon{curved(body), curved(head), left, right, moved(x, y, size, brush(tail, widths)...)}
}

// curveLine is an open Catmull-Rom curve.
func curveLine(pts ...point) []point {
	const steps = 6
	var out []point
	for i := range len(pts) - 1 {
		a, b, c, d := pts[max(i-1, 0)], pts[i], pts[i+1], pts[min(i+2, len(pts)-1)]
		for k := range steps {
			t := float64(k) / steps
			out = append(out, point{catmull(a.x, b.x, c.x, d.x, t), catmull(a.y, b.y, c.y, d.y, t)})
		}
	}
	return append(out, pts[len(pts)-1])
}

func drawCat(s *scene, x, y, size float64, _ *random) {
	s.add(newShapes(s.ink(), catParts(x, y, size)...))
	s.catEyes(x, y, size, s.lamp())
}

func (s *scene) catEyes(x, y, size float64, colour rgb) {
	rx, ry := mul(size, 0.032), mul(size, 0.042)
	for _, side := range []float64{-0.075, 0.075} {
		cx, cy := x+mul(size, side), y-mul(size, 0.715)
		s.add(newShapes(colour, ellipse(cx, cy, rx, ry)))
		s.add(newShapes(rgb{}, ellipse(cx, cy, mul(rx, 0.32), mul(ry, 0.85))))
	}
}

func drawHouse(s *scene, x, y, size float64, _ *random) {
	s.add(newShapes(s.ink(),
		moved(x, y, size, point{-.55, .12}, point{-.55, -.5}, point{.55, -.5}, point{.55, .12}),
		moved(x, y, size, point{-.68, -.46}, point{-.36, -1}, point{.36, -1}, point{.68, -.46}),
		moved(x, y, size, point{.16, -.9}, point{.16, -1.18}, point{.3, -1.18}, point{.3, -.9})))
	s.add(newShapes(s.lamp(),
		moved(x, y, size, point{-.4, -.38}, point{-.18, -.38}, point{-.18, -.14}, point{-.4, -.14}),
		moved(x, y, size, point{.18, -.38}, point{.4, -.38}, point{.4, -.14}, point{.18, -.14})))
	s.addGlow(x, y-mul(size, 0.25), mul(size, 0.55), s.lamp(), 0.28)
}

func drawCastle(s *scene, x, y, size float64, _ *random) {
	parts := []polygon{moved(x, y, size, point{-.42, .2}, point{-.42, -.34}, point{.42, -.34}, point{.42, .2})}
	for i := range 9 { // battlements
		at := -.42 + mul(float64(i), .1)
		parts = append(parts, moved(x, y, size, box(at, -.39, .055, .08)...))
	}
	for _, t := range [][3]float64{{-.46, .17, .52}, {.46, .17, .52}, {-.16, .15, .68}, {.17, .19, .8}} {
		half := t[1] / 2
		parts = append(parts,
			moved(x, y, size, box(t[0]-half, -t[2], t[1], t[2]+.2)...),
			moved(x, y, size, point{t[0] - half - .025, -t[2]}, point{t[0], -t[2] - .27}, point{t[0] + half + .025, -t[2]}))
	}
	s.add(newShapes(s.ink(), parts...))
	var lit []polygon
	for _, q := range []point{{-.46, -.42}, {.46, -.42}, {-.16, -.55}, {.17, -.66}, {.17, -.48}, {-.02, -.2}} {
		lit = append(lit, moved(x, y, size, box(q.x-.018, q.y, .036, .075)...))
	}
	s.add(newShapes(s.lamp(), lit...))
}

func drawLighthouse(s *scene, x, y, size float64, r *random) {
	lampY := y - mul(size, .87)
	reach := mul(float64(s.w), 0.9)
	if r.chance(0.5) {
		reach = -reach
	}
	if s.pal.hour != day {
		beam := newShapes(s.lamp(), polygon{{x, lampY}, {x + reach, lampY - mul(size, .42)}, {x + reach, lampY + mul(size, .12)}})
		beam.alpha = 0.17
		s.add(beam)
	}
	s.add(newShapes(s.ink(),
		moved(x, y, size, point{-.15, .15}, point{-.09, -.8}, point{.09, -.8}, point{.15, .15}),
		moved(x, y, size, box(-.13, -.82, .26, .035)...),
		moved(x, y, size, point{-.09, -.92}, point{0, -1.02}, point{.09, -.92})))
	band := s.pal.accent[0].rgb().to(s.ink(), 0.35)
	s.add(newShapes(band,
		moved(x, y, size, point{-.112, -.45}, point{-.101, -.62}, point{.101, -.62}, point{.112, -.45}),
		moved(x, y, size, point{-.134, -.1}, point{-.123, -.27}, point{.123, -.27}, point{.134, -.1})))
	s.add(newShapes(s.lamp(), moved(x, y, size, box(-.06, -.92, .12, .1)...)))
	s.addGlow(x, lampY, mul(size, .16), s.lamp(), 0.75)
}

func drawTree(s *scene, x, y, size float64, r *random) {
	trunk := []point{{0, .08}, {.01, -.2}, {-.02, -.45}, {.02, -.7}}
	parts := []polygon{
		moved(x, y, size, brush(trunk, []float64{.11, .075, .06, .02})...),
		moved(x, y, size, brush([]point{{0, -.3}, {.12, -.45}, {.22, -.58}}, []float64{.05, .035, .015})...),
		moved(x, y, size, brush([]point{{0, -.36}, {-.12, -.5}, {-.22, -.6}}, []float64{.05, .035, .015})...),
	}
	s.add(newShapes(s.ink(), parts...))
	leaf := s.pal.near
	if s.in.has(flower) || len(s.in.colours) > 0 {
		leaf = s.pal.accent[0]
		leaf.l = mix(leaf.l, s.pal.near.l, 0.3)
	}
	for i, shade := range []float64{-0.07, 0, 0.06} {
		var crown []polygon
		for range 70 {
			turn, away := r.float(), mul(mul(0.34, math.Sqrt(r.float())), 1-mul(0.22, float64(i)))
			cx := mul(away, cosine(turn)) - mul(0.03, float64(i))
			cy := -.7 + mul(mul(away, sine(turn)), 0.72) - mul(0.03, float64(i))
			size1 := mul(size, r.between(0.022, 0.06))
			crown = append(crown, ellipse(x+mul(cx, size), y+mul(cy, size), size1, mul(size1, 0.85)))
		}
		k := leaf
		k.l += shade
		s.add(newShapes(s.pal.avoid(k).rgb(), crown...))
	}
}

func drawPalm(s *scene, x, y, size float64, r *random) {
	lean := r.between(-.16, .16)
	trunk := curveLine(point{0, .08}, point{mul(lean, .25), -.25}, point{mul(lean, .7), -.55}, point{lean, -.82})
	widths := make([]float64, len(trunk))
	for i := range widths {
		widths[i] = mix(.07, .035, float64(i)/float64(len(widths)))
	}
	parts := []polygon{moved(x, y, size, brush(trunk, widths)...)}
	for _, tip := range []point{{-.3, .16}, {-.37, .02}, {-.31, -.13}, {-.15, -.22}, {.07, -.23}, {.24, -.17}, {.36, -.05}, {.36, .08}, {.25, .19}} {
		grow := r.between(.85, 1.1)
		tx, ty := mul(tip.x, grow), mul(tip.y, grow)
		frond := curveLine(point{lean, -.81}, point{lean + mul(tx, .5), -.9 + mul(ty, .62)}, point{lean + tx, -.81 + ty})
		fw := make([]float64, len(frond))
		for k := range fw {
			t := float64(k) / float64(len(fw)-1)
			fw[k] = 0.004 + mul(0.2, mul(t, mul(1-t, 1-mul(.4, t))))
		}
		parts = append(parts, moved(x, y, size, brush(frond, fw)...))
	}
	s.add(newShapes(s.ink(), parts...))
}

func drawCactus(s *scene, x, y, size float64, _ *random) {
	arm := func(pts ...point) polygon {
		line := curveLine(pts...)
		widths := make([]float64, len(line))
		for i := range widths {
			widths[i] = .13
		}
		return moved(x, y, size, brush(line, widths)...)
	}
	round := func(px, py, r float64) polygon {
		return ellipse(x+mul(px, size), y+mul(py, size), mul(r, size), mul(r, size))
	}
	s.add(newShapes(s.ink(),
		moved(x, y, size, box(-.09, -.9, .18, 1)...), round(0, -.9, .09),
		arm(point{0, -.34}, point{-.2, -.35}, point{-.27, -.45}, point{-.27, -.68}), round(-.27, -.68, .065),
		arm(point{0, -.46}, point{.2, -.47}, point{.27, -.57}, point{.27, -.8}), round(.27, -.8, .065)))
}

func drawRocket(s *scene, x, y, size float64, _ *random) {
	flame := curved(moved(x, y, size, point{0, .12}, point{-.07, -.06}, point{0, -.16}, point{.07, -.06}))
	s.addGlow(x, y, mul(size, .22), s.lamp(), 0.6)
	s.add(newShapes(s.lamp(), flame))
	fin := s.pal.accent[0].rgb()
	s.add(newShapes(fin,
		moved(x, y, size, point{-.1, -.42}, point{-.24, -.1}, point{-.08, -.18}),
		moved(x, y, size, point{.1, -.42}, point{.24, -.1}, point{.08, -.18})))
	body := moved(x, y, size, point{0, -1}, point{.1, -.78}, point{.13, -.5}, point{.09, -.16}, point{-.09, -.16}, point{-.13, -.5}, point{-.1, -.78})
	s.add(newShapes(s.pal.colour(.9, .02, 250), curved(body)))
	s.add(newShapes(fin, ellipse(x, y-mul(size, .62), mul(size, .055), mul(size, .055))))
}

// addGlow is a soft light around a lamp.
func (s *scene) addGlow(x, y, r float64, colour rgb, strength float64) {
	reach := mul(r, 7)
	s.addFunc(func(row int, line []rgb) {
		dy := float64(row) + 0.5 - y
		if dy > reach || dy < -reach {
			return
		}
		for i := max(0, pixelOf(x-reach)); i <= min(len(line)-1, pixelOf(x+reach)); i++ {
			d := hypot(float64(i)+0.5-x, dy)
			edge := 1 - smooth(mul(reach, 0.5), reach, d)
			line[i] = line[i].lit(colour, mul(mul(strength, edge), square(halo(d/r))))
		}
	})
}
