package canvas

import "math"

// random is SplitMix64 (Steele, Lea and Flood, 2014): tiny, fast and the same everywhere.
type random struct{ state uint64 }

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return scramble(r.state)
}

func scramble(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// float is uniform in 0 ≤ x < 1.
func (r *random) float() float64 { return float64(r.next()>>11) / (1 << 53) }

// between is uniform in lo ≤ x < hi.
func (r *random) between(lo, hi float64) float64 { return mix(lo, hi, r.float()) }

// below is uniform in 0..n-1.
func (r *random) below(n int) int { return int(r.next() >> 33 % uint64(n)) }

func (r *random) chance(p float64) bool { return r.float() < p }

// hashText is 64-bit FNV-1a with a final scramble, so that near texts land far apart.
func hashText(start uint64, text string) uint64 {
	h := start ^ 0xcbf29ce484222325
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 0x100000001b3
	}
	return scramble(h)
}

// noise is Perlin's gradient noise on a grid that repeats after 256 cells.
type noise struct {
	perm [512]uint8
	grad [256]point
}

func newNoise(r *random) *noise {
	n := &noise{}
	for i := range 256 {
		n.perm[i] = uint8(i)
		turn := float64(i) / 256
		n.grad[i] = point{mul(cosine(turn), 1.5), mul(sine(turn), 1.5)}
	}
	for i := 255; i > 0; i-- {
		j := r.below(i + 1)
		n.perm[i], n.perm[j] = n.perm[j], n.perm[i]
	}
	copy(n.perm[256:], n.perm[:256])
	return n
}

func (n *noise) corner(ix, iy int, dx, dy float64) float64 {
	g := &n.grad[n.perm[int(n.perm[ix&255])+iy&255]]
	return mul(g.x, dx) + mul(g.y, dy)
}

// at is about -1..1, zero on grid points, and smooth.
func (n *noise) at(x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int(fx), int(fy)
	x -= fx
	y -= fy
	u := mul(square(x), 3-mul(2, x))
	v := mul(square(y), 3-mul(2, y))
	top := mix(n.corner(ix, iy, x, y), n.corner(ix+1, iy, x-1, y), u)
	low := mix(n.corner(ix, iy+1, x, y-1), n.corner(ix+1, iy+1, x-1, y-1), u)
	return mix(top, low, v)
}

// fbm sums octaves of halving size and strength; about -1..1.
func (n *noise) fbm(x, y float64, octaves int) float64 {
	sum, strength := 0.0, 0.5
	for range octaves {
		sum += mul(n.at(x, y), strength)
		x, y = mul(x, 2)+17.3, mul(y, 2)+9.1
		strength /= 2
	}
	return mul(sum, 1.6)
}

// ridged has sharp crests; 0..1.
func (n *noise) ridged(x, y float64, octaves int) float64 {
	sum, strength, carry := 0.0, 0.5, 1.0
	for range octaves {
		crest := square(1 - min(math.Abs(n.at(x, y)), 1))
		sum += mul(mul(crest, strength), carry)
		carry = crest
		x, y = mul(x, 2)+31.7, mul(y, 2)+3.3
		strength /= 2
	}
	return sum
}

// field is a smooth function sampled on a coarse grid over the picture; what is soft
// anyway (clouds, nebulae) costs the same at any picture size that way.
type field struct {
	cols, rows int
	perCell    float64 // pixels
	value      []float64
}

// newField samples f at unit coordinates (pixels divided by the shorter side) with cells
// cells along the longer side. It stops early, half filled, when the scene is cancelled.
func (s *scene) newField(cells int, f func(u, v float64) float64) *field {
	per := max(1, float64(max(s.w, s.h))/float64(cells))
	fd := &field{perCell: per, cols: int(float64(s.w)/per) + 3, rows: int(float64(s.h)/per) + 3}
	fd.value = make([]float64, fd.cols*fd.rows)
	for j := range fd.rows {
		if s.ctx.Err() != nil {
			return fd
		}
		v := mul(float64(j), per) / s.unit
		for i := range fd.cols {
			fd.value[j*fd.cols+i] = f(mul(float64(i), per)/s.unit, v)
		}
	}
	return fd
}

// row interpolates the picture row y (clamped to the grid) into dst, one value per pixel.
func (f *field) row(y float64, dst []float64) {
	gy := min(max(y/f.perCell, 0), float64(f.rows)-1.001)
	j := int(gy)
	t := gy - float64(j)
	a, b := f.value[j*f.cols:(j+1)*f.cols], f.value[(j+1)*f.cols:(j+2)*f.cols]
	step := 1 / f.perCell
	for x := range dst {
		gx := mul(float64(x), step)
		i := int(gx)
		dx := gx - float64(i)
		dst[x] = mix(mix(a[i], a[i+1], dx), mix(b[i], b[i+1], dx), t)
	}
}
