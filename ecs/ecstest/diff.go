package ecstest

import "github.com/ferris1/wind/ecs"

// difference says in words where two worlds of one game first differ; empty when no value and no row does.
// have and want name the two.
func difference(a, b *ecs.World, have, want string) string {
	d, n := ecs.Differences(a, b, 1)
	if n == 0 {
		return ""
	}
	return d[0].Between(have, want)
}
