package canvas

import (
	"math"
	"slices"
)

type point struct{ x, y float64 }

type polygon []point

// shapes is a layer of polygons in one colour; where they overlap they are one shape.
type shapes struct {
	parts  []polygon
	bounds [][2]int // first and last row of each part
	colour func(x, y int) rgb
	alpha  float64
	top    int
	bottom int
	cover  []float64
	cross  []float64
}

const subRows = 4 // samples per row for smooth edges

func newShapes(colour rgb, parts ...polygon) *shapes {
	sh := &shapes{alpha: 1, top: math.MaxInt, bottom: math.MinInt}
	sh.colour = func(int, int) rgb { return colour }
	for _, p := range parts {
		sh.addPart(p)
	}
	return sh
}

func (sh *shapes) addPart(p polygon) {
	lo, hi := math.MaxInt, math.MinInt
	for _, q := range p {
		lo, hi = min(lo, pixelOf(q.y)), max(hi, pixelOf(q.y))
	}
	sh.parts = append(sh.parts, p)
	sh.bounds = append(sh.bounds, [2]int{lo, hi})
	sh.top, sh.bottom = min(sh.top, lo), max(sh.bottom, hi)
}

func (sh *shapes) paint(y int, row []rgb) {
	if y < sh.top || y > sh.bottom {
		return
	}
	if len(sh.cover) != len(row) {
		sh.cover = make([]float64, len(row))
	}
	for i, p := range sh.parts {
		if y >= sh.bounds[i][0] && y <= sh.bounds[i][1] {
			sh.paintPart(p, y, row)
		}
	}
}

func (sh *shapes) paintPart(p polygon, y int, row []rgb) {
	lo, hi := len(row), -1
	for k := range subRows {
		sh.crossings(p, float64(y)+(float64(k)+0.5)/subRows)
		for i := 0; i+1 < len(sh.cross); i += 2 {
			a := max(sh.cross[i], 0)
			b := min(sh.cross[i+1], float64(len(row)))
			if a < b {
				lo, hi = min(lo, int(a)), max(hi, min(int(b), len(row)-1))
				span(sh.cover, a, b)
			}
		}
	}
	for x := lo; x <= hi; x++ {
		row[x] = row[x].to(sh.colour(x, y), mul(min(sh.cover[x]/subRows, 1), sh.alpha))
		sh.cover[x] = 0
	}
}

// crossings collects where the outline crosses height y, sorted (even-odd rule).
func (sh *shapes) crossings(p polygon, y float64) {
	sh.cross = sh.cross[:0]
	a := p[len(p)-1]
	for _, b := range p {
		if (a.y > y) != (b.y > y) {
			sh.cross = append(sh.cross, mix(a.x, b.x, (y-a.y)/(b.y-a.y)))
		}
		a = b
	}
	slices.Sort(sh.cross)
}

// span adds the interval a..b to the coverage of the pixels it touches.
func span(cover []float64, a, b float64) {
	i, j := int(a), int(b)
	if i == j {
		cover[i] += b - a
		return
	}
	cover[i] += float64(i+1) - a
	for k := i + 1; k < j; k++ {
		cover[k]++
	}
	if j < len(cover) {
		cover[j] += b - float64(j)
	}
}

// moved maps points given in a box of side 1 to the picture: size in pixels, origin at
// (x, y). A negative size mirrors left and right.
func moved(x, y, size float64, pts ...point) polygon {
	out := make(polygon, len(pts))
	for i, p := range pts {
		out[i] = point{x + mul(p.x, size), y + mul(p.y, math.Abs(size))}
	}
	return out
}

// curved draws a closed Catmull-Rom curve through the points.
func curved(pts polygon) polygon {
	const steps = 6
	n := len(pts)
	out := make(polygon, 0, n*steps)
	for i := range pts {
		a, b, c, d := pts[(i+n-1)%n], pts[i], pts[(i+1)%n], pts[(i+2)%n]
		for k := range steps {
			t := float64(k) / steps
			out = append(out, point{catmull(a.x, b.x, c.x, d.x, t), catmull(a.y, b.y, c.y, d.y, t)})
		}
	}
	return out
}

func catmull(a, b, c, d, t float64) float64 {
	k1 := c - a
	k2 := mul(2, a) - mul(5, b) + mul(4, c) - d
	k3 := mul(3, b-c) + d - a
	return b + mul(0.5, mul(t, k1+mul(t, k2+mul(t, k3))))
}

// ellipse is a polygon that looks round at its size.
func ellipse(x, y, rx, ry float64) polygon {
	n := min(max(12, int(max(rx, ry))), 96)
	out := make(polygon, n)
	for i := range out {
		turn := float64(i) / float64(n)
		out[i] = point{x + mul(rx, cosine(turn)), y + mul(ry, sine(turn))}
	}
	return out
}

// box is an upright rectangle from (x, y) to (x+w, y+h).
func box(x, y, w, h float64) polygon {
	return polygon{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}}
}

// brush is the outline of a stroke through the points, as wide as widths say at each.
func brush(pts []point, widths []float64) polygon {
	n := len(pts)
	out := make(polygon, 2*n)
	for i, p := range pts {
		a, b := pts[max(i-1, 0)], pts[min(i+1, n-1)]
		dx, dy := b.x-a.x, b.y-a.y
		length := max(hypot(dx, dy), 1e-9)
		half := widths[i] / 2
		ox, oy := -mul(dy, half)/length, mul(dx, half)/length
		out[i] = point{p.x + ox, p.y + oy}
		out[2*n-1-i] = point{p.x - ox, p.y - oy}
	}
	return out
}
