package canvas

import "math"

// mul is a product that is rounded to float64 before anything is added to it. Written as
// a bare a*b the compiler may fuse it with a later addition on some processors and not on
// others, and pictures would differ by platform. (Divisions by a power of two are compiled
// into products that may be fused too, but those are exact either way.)
func mul(a, b float64) float64 { return float64(a * b) }

// mix goes from a (t=0) to b (t=1) in a straight line.
func mix(a, b, t float64) float64 { return a + mul(b-a, t) }

func clamp01(x float64) float64 {
	if x < 0 {
		return 0
	}
	if x > 1 {
		return 1
	}
	return x
}

// smooth rises from 0 at lo to 1 at hi with flat ends; lo may be above hi.
func smooth(lo, hi, x float64) float64 {
	t := clamp01((x - lo) / (hi - lo))
	return mul(mul(t, t), 3-mul(2, t))
}

func square(x float64) float64 { return mul(x, x) }

// hypot is the length of (x, y) without the overflow care that small pictures don't need.
func hypot(x, y float64) float64 { return math.Sqrt(square(x) + square(y)) }

// halo falls from 1 at distance 0 to a half at distance 1 and never quite to 0.
func halo(d float64) float64 { return 1 / (1 + square(d)) }

// sine is the sine of an angle in turns, exact to about 4e-6 and equal on all platforms,
// which math.Sin does not promise.
func sine(turns float64) float64 {
	t := turns - math.Floor(turns)
	switch { // fold into the quarter turns around zero
	case t > 0.75:
		t--
	case t > 0.25:
		t = 0.5 - t
	}
	x := mul(t, 2*math.Pi)
	x2 := square(x)
	p := 1.0/362880 - 0.0
	p = mul(p, x2) - 1.0/5040
	p = mul(p, x2) + 1.0/120
	p = mul(p, x2) - 1.0/6
	p = mul(p, x2) + 1
	return mul(x, p)
}

func cosine(turns float64) float64 { return sine(turns + 0.25) }

// cubeRoot takes the cube root of x in 0..8 by Newton's method.
func cubeRoot(x float64) float64 {
	if x <= 0 {
		return 0
	}
	r := math.Sqrt(x)
	for range 12 {
		r -= (r - x/square(r)) / 3
	}
	return r
}

// pixelOf rounds down a coordinate that is known to be near the picture.
func pixelOf(x float64) int { return int(math.Floor(min(max(x, -1e6), 1e6))) }
