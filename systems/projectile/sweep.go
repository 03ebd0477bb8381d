package projectile

import "math"

// sweep returns when a point that moves from (x, y) by (dx, dy) within a tick first touches a circle around (cx, cy): 0
// is the start of the tick, 1 its end. A point that starts inside touches at 0. Source: Ericson, Real-Time Collision
// Detection, 5.3.2, intersecting a ray against a sphere.
func sweep(x, y, dx, dy, cx, cy, radius float64) (when float64, touched bool) {
	fx, fy := x-cx, y-cy
	c := float64(fx*fx) + float64(fy*fy) - float64(radius*radius)
	if c <= 0 {
		return 0, true
	}
	b := float64(fx*dx) + float64(fy*dy)
	if !(b < 0) { // it does not approach
		return 0, false
	}
	a := float64(dx*dx) + float64(dy*dy)
	d := float64(b*b) - float64(a*c)
	if !(d >= 0) { // passes by
		return 0, false
	}
	when = (-b - math.Sqrt(d)) / a
	return when, when <= 1
}
