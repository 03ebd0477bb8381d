package ecstest

import "github.com/ferris1/wind/ecs"

// difference describes the first difference between two worlds of one game; it is empty if all values and rows are
// equal. have and want label the two worlds.
func difference(a, b *ecs.World, have, want string) string {
	d, n := ecs.Differences(a, b, 1)
	if n == 0 {
		return ""
	}
	return d[0].Between(have, want)
}
