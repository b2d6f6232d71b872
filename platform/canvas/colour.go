package canvas

import "math"

// rgb is a colour in gamma-encoded sRGB, each channel 0..1 (and briefly above, for light).
type rgb struct{ r, g, b float64 }

func (c rgb) to(d rgb, t float64) rgb {
	return rgb{mix(c.r, d.r, t), mix(c.g, d.g, t), mix(c.b, d.b, t)}
}

// lit adds light of colour d and strength t the way a screen does: it never exceeds white.
func (c rgb) lit(d rgb, t float64) rgb {
	return rgb{
		c.r + mul(1-min(c.r, 1), mul(d.r, t)),
		c.g + mul(1-min(c.g, 1), mul(d.g, t)),
		c.b + mul(1-min(c.b, 1), mul(d.b, t)),
	}
}

// times filters c through a transparent layer of colour d.
func (c rgb) times(d rgb) rgb { return rgb{mul(c.r, d.r), mul(c.g, d.g), mul(c.b, d.b)} }

func (c rgb) scaled(t float64) rgb { return rgb{mul(c.r, t), mul(c.g, t), mul(c.b, t)} }

// lch is a colour in OKLCH (Ottosson, 2020): lightness 0..1, chroma 0..0.37 and hue in
// degrees. Equal steps look equal, so palettes can be computed.
type lch struct{ l, c, h float64 }

// rgb converts and clips to sRGB.
func (k lch) rgb() rgb {
	a, b := k.ab()
	l := k.l + mul(0.3963377774, a) + mul(0.2158037573, b)
	m := k.l - mul(0.1055613458, a) - mul(0.0638541728, b)
	s := k.l - mul(0.0894841775, a) - mul(1.2914855480, b)
	l, m, s = mul(l, square(l)), mul(m, square(m)), mul(s, square(s))
	return rgb{
		encode(mul(4.0767416621, l) - mul(3.3077115913, m) + mul(0.2309699292, s)),
		encode(mul(-1.2684380046, l) + mul(2.6097574011, m) - mul(0.3413193965, s)),
		encode(mul(-0.0041960863, l) - mul(0.7034186147, m) + mul(1.7076147010, s)),
	}
}

func (k lch) ab() (a, b float64) {
	return mul(k.c, cosine(k.h/360)), mul(k.c, sine(k.h/360))
}

// encode applies the sRGB transfer curve; x^(1/2.4) is x^(1/4) times x^(1/6).
func encode(x float64) float64 {
	x = clamp01(x)
	if x <= 0.0031308 {
		return mul(x, 12.92)
	}
	root := math.Sqrt(x)
	return clamp01(mul(1.055, mul(math.Sqrt(root), cubeRoot(root))) - 0.055)
}

// ramp is a gradient through evenly spaced colours, mixed where mixing looks even.
type ramp [513]rgb

func newRamp(stops ...lch) *ramp {
	r := &ramp{}
	for i := range r {
		at := mul(float64(i)/float64(len(r)-1), float64(len(stops)-1))
		k := min(int(at), len(stops)-2)
		r[i] = blend(stops[k], stops[k+1], at-float64(k)).rgb()
	}
	return r
}

func (r *ramp) at(t float64) rgb { return r[int(mul(clamp01(t), float64(len(r)-1)))] }

// blend mixes two colours in OKLab, that is, through grey when their hues are opposite.
func blend(x, y lch, t float64) lch {
	xa, xb := x.ab()
	ya, yb := y.ab()
	a, b := mix(xa, ya, t), mix(xb, yb, t)
	return lch{l: mix(x.l, y.l, t), c: hypot(a, b), h: hueOf(a, b)}
}

// hueOf is the angle of (a, b) in degrees, found by bisection on cosine so that it does
// not depend on a platform's arctangent.
func hueOf(a, b float64) float64 {
	length := hypot(a, b)
	if length == 0 {
		return 0
	}
	want := a / length
	lo, hi := 0.0, 0.5
	for range 24 {
		mid := (lo + hi) / 2
		if cosine(mid) > want {
			lo = mid
		} else {
			hi = mid
		}
	}
	turn := lo
	if b < 0 {
		turn = 1 - lo
	}
	return mul(turn, 360)
}

// hueDistance is how far two hues lie apart, 0..180 degrees.
func hueDistance(a, b float64) float64 {
	d := math.Abs(a - b)
	d -= mul(360, math.Floor(d/360))
	return min(d, 360-d)
}
