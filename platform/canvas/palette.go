package canvas

// palette is the light of one picture. Every colour in it went through tint, so colour
// words and bans hold for all of it.
type palette struct {
	in     *intent
	base   float64 // hue that colour words pull to their own
	hour   hour
	sky    [4]lch // from the zenith to the horizon
	light  lch    // of sun or moon, and of what they shine on
	far    lch    // ridges at the horizon
	near   lch    // ridges in front
	accent [4]lch // signs, flowers, balloons
}

// scheme is a palette before colour words. far is close to the horizon's colour, because
// air takes on the colour of the sky.
type scheme struct {
	hour      hour
	base      float64
	sky       [4]lch
	light     lch
	far, near lch
}

var schemes = []scheme{
	{day, 245, [4]lch{{.56, .13, 252}, {.70, .11, 240}, {.84, .06, 228}, {.94, .03, 205}}, lch{.98, .05, 98}, lch{.78, .055, 235}, lch{.33, .075, 158}},
	{day, 230, [4]lch{{.62, .11, 238}, {.76, .085, 222}, {.89, .05, 190}, {.96, .045, 100}}, lch{.98, .07, 95}, lch{.80, .05, 215}, lch{.36, .08, 178}},
	{day, 265, [4]lch{{.52, .14, 262}, {.67, .12, 255}, {.82, .075, 262}, {.92, .045, 320}}, lch{.98, .04, 80}, lch{.74, .07, 268}, lch{.30, .07, 225}},
	{dawn, 320, [4]lch{{.55, .09, 275}, {.72, .09, 325}, {.84, .09, 20}, {.93, .07, 75}}, lch{.98, .06, 85}, lch{.78, .075, 345}, lch{.32, .06, 285}},
	{dawn, 200, [4]lch{{.60, .07, 225}, {.76, .06, 205}, {.88, .06, 95}, {.93, .08, 70}}, lch{.98, .07, 80}, lch{.78, .05, 190}, lch{.32, .06, 200}},
	{dusk, 340, [4]lch{{.32, .11, 285}, {.50, .16, 335}, {.70, .17, 35}, {.86, .14, 75}}, lch{.97, .09, 85}, lch{.60, .13, 10}, lch{.20, .06, 300}},
	{dusk, 40, [4]lch{{.40, .09, 250}, {.60, .09, 300}, {.76, .14, 50}, {.90, .12, 85}}, lch{.98, .08, 92}, lch{.66, .11, 45}, lch{.23, .05, 285}},
	{dusk, 20, [4]lch{{.28, .09, 305}, {.46, .16, 5}, {.66, .19, 35}, {.82, .16, 65}}, lch{.97, .10, 78}, lch{.52, .15, 20}, lch{.17, .05, 330}},
	{night, 265, [4]lch{{.14, .05, 272}, {.23, .075, 268}, {.35, .09, 258}, {.50, .08, 240}}, lch{.96, .03, 95}, lch{.38, .075, 255}, lch{.11, .035, 262}},
	{night, 290, [4]lch{{.15, .06, 285}, {.25, .10, 290}, {.38, .12, 305}, {.54, .12, 335}}, lch{.96, .035, 80}, lch{.38, .10, 305}, lch{.12, .045, 290}},
	{night, 215, [4]lch{{.14, .04, 245}, {.24, .06, 230}, {.37, .075, 210}, {.52, .075, 190}}, lch{.97, .03, 110}, lch{.37, .065, 212}, lch{.11, .03, 230}},
}

func newPalette(in *intent) *palette {
	r := in.random("palette")
	h := in.hour
	if h == anyHour {
		h = defaultHour(in, r)
	}
	var fit []scheme
	for _, s := range schemes {
		if s.hour == h {
			fit = append(fit, s)
		}
	}
	s := fit[r.below(len(fit))]
	jitter := r.between(-14, 14)
	p := &palette{in: in, base: s.base, hour: h}
	for i, k := range s.sky {
		k.h += jitter
		p.sky[i] = p.tint(k, p.skyShare())
	}
	s.far.h += jitter
	p.far, p.near = p.tint(s.far, 1), p.tint(s.near, 1)
	if in.has(frost) {
		p.layFrost()
	}
	p.light = p.second(s.light)
	start := r.between(0, 360)
	for i := range p.accent {
		k := lch{.70, .19, start + mul(float64(i), r.between(70, 110))}
		p.accent[i] = p.avoid(k)
	}
	for i, c := range in.colours { // named colours are accents too
		p.accent[i] = p.avoid(lch{clamp01(.68 + c.l), mul(.19, min(c.c, 1.1)), c.h})
	}
	return p
}

// defaultHour follows the motifs: stars want a night, rainbows a day.
func defaultHour(in *intent, r *random) hour {
	switch {
	case in.has(stars | moon | northernLights | nebula | neon):
		return night
	case in.has(rainbow | snow | frost | rain | flower):
		return day
	}
	return []hour{day, day, dawn, dusk, dusk, night}[r.below(6)]
}

// night reports whether lamps and stars are to be seen.
func (p *palette) night() bool { return p.hour == night }

// skyShare is how far the first named colour reaches into the sky: green and its
// neighbours belong to the ground unless it is night.
func (p *palette) skyShare() float64 {
	if c := p.in.colours; len(c) > 0 && c[0].h > 105 && c[0].h < 170 && p.hour != night {
		return 0.22
	}
	return 1
}

// layFrost whitens the ground as far as the light of the hour allows.
func (p *palette) layFrost() {
	white := lch{mix(0.5, 0.95, p.sky[3].l), 0.03, 245}
	p.near = p.avoid(blend(p.near, white, 0.42))
	p.far = p.avoid(blend(p.far, white, 0.35))
}

// tint pulls a colour to the first colour the prompt names, by a share of 0..1.
func (p *palette) tint(k lch, share float64) lch {
	if len(p.in.colours) > 0 {
		k = blend(k, pull(k, p.base, p.in.colours[0]), share)
	}
	return p.avoid(k)
}

// second pulls a light colour to the last colour the prompt names, weakly: lights that
// are too colourful look like lamps.
func (p *palette) second(k lch) lch {
	if n := len(p.in.colours); n > 0 {
		c := p.in.colours[n-1]
		k = lch{k.l - 0.02, mul(k.c+0.02, c.c), c.h}
	}
	return p.avoid(k)
}

// pull keeps a third of a colour's distance in hue, so that a gradient stays one.
func pull(k lch, base float64, target lch) lch {
	off := k.h - base
	for off > 180 {
		off -= 360
	}
	for off < -180 {
		off += 360
	}
	k.h = target.h + mul(off, 0.33)
	k.c = mul(k.c+0.02, target.c)
	k.l = min(max(k.l+mul(target.l, 0.8), 0.06), 0.98)
	return k
}

// avoid moves a colour out of the hues and shades the prompt refuses.
func (p *palette) avoid(k lch) lch {
	for range maxBanned {
		i := p.offends(k)
		if i < 0 {
			return k
		}
		switch ban := p.in.banned[i]; {
		case ban.c >= 0.35:
			k.h += 75
		case ban.l > 0.05:
			k.l = 0.86
		case ban.l < -0.05:
			k.l = 0.26
		default:
			k.c = 0.06
		}
	}
	return lch{k.l, 0, 0} // every way out is barred: grey is nobody's hue
}

// offends finds the banned colour that k is, or -1.
func (p *palette) offends(k lch) int {
	for i, ban := range p.in.banned {
		var is bool
		switch {
		case ban.c >= 0.35:
			is = k.c > 0.015 && hueDistance(k.h, ban.h) < 36
		case ban.l > 0.05:
			is = k.l > 0.88
		case ban.l < -0.05:
			is = k.l < 0.24
		default:
			is = k.c < 0.03
		}
		if is {
			return i
		}
	}
	return -1
}

// colour is for things with a colour of their own: only bans change it.
func (p *palette) colour(l, c, h float64) rgb { return p.avoid(lch{l, c, h}).rgb() }

// skyRamp runs from the zenith to the horizon.
func (p *palette) skyRamp() *ramp { return newRamp(p.sky[:]...) }

// ridge is the colour of ground at a distance, 0 in front and 1 at the horizon.
func (p *palette) ridge(distance float64) lch { return blend(p.near, p.far, distance) }
