package canvas

import (
	"math"
	"testing"
)

func TestSineFollowsMathSin(t *testing.T) {
	for i := -2000; i <= 2000; i++ {
		turns := float64(i) / 700
		if got, want := sine(turns), math.Sin(turns*2*math.Pi); math.Abs(got-want) > 1e-5 {
			t.Fatalf("sine(%v) = %v, want %v", turns, got, want)
		}
	}
}

func TestCubeRootAndTransferCurve(t *testing.T) {
	for i := range 1001 {
		x := float64(i) / 1000
		if got, want := cubeRoot(x), math.Cbrt(x); math.Abs(got-want) > 1e-9 && x > 1e-3 {
			t.Fatalf("cubeRoot(%v) = %v, want %v", x, got, want)
		}
		want := 12.92 * x
		if x > 0.0031308 {
			want = 1.055*math.Pow(x, 1/2.4) - 0.055
		}
		if got := encode(x); math.Abs(got-want) > 1e-6 {
			t.Fatalf("encode(%v) = %v, want %v", x, got, want)
		}
	}
}

func TestHueOfInvertsTheCircle(t *testing.T) {
	for h := 0.0; h < 360; h += 3 {
		a, b := lch{0.5, 0.1, h}.ab()
		if got := hueOf(a, b); hueDistance(got, h) > 0.2 {
			t.Errorf("hueOf at %v degrees gave %v", h, got)
		}
	}
}

func TestColourConversionKnowsThePrimaries(t *testing.T) {
	for name, c := range map[string]struct {
		k    lch
		want rgb
	}{
		"white": {lch{1, 0, 0}, rgb{1, 1, 1}},
		"black": {lch{0, 0, 0}, rgb{0, 0, 0}},
		"red":   {lch{0.62796, 0.25768, 29.23}, rgb{1, 0, 0}},
		"blue":  {lch{0.45201, 0.31321, 264.05}, rgb{0, 0, 1}},
	} {
		got := c.k.rgb()
		if d := math.Abs(got.r-c.want.r) + math.Abs(got.g-c.want.g) + math.Abs(got.b-c.want.b); d > 0.02 {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestNoiseStaysInRange(t *testing.T) {
	n := newNoise(&random{state: 7})
	var sum float64
	for i := range 20000 {
		x, y := float64(i%200)*0.37-30, float64(i/200)*0.41-17
		v := n.fbm(x, y, 5)
		if math.Abs(v) > 1.7 {
			t.Fatalf("fbm(%v, %v) = %v", x, y, v)
		}
		sum += v
	}
	if mean := sum / 20000; math.Abs(mean) > 0.05 {
		t.Errorf("mean %v, want about 0", mean)
	}
}
