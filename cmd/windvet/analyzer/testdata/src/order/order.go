package order

import (
	"maps"
	"reflect"
	"slices"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) { ecs.System(w, "count", count[map[string]int]) }

func count[M ~map[string]int](t *ecs.Tick) {
	m := map[string]int{"a": 1}
	for k := range m { // want `ranging over a map has a random order: sort them first \(slices.Sorted\(maps.Keys\(m\)\)\), or keep a slice beside the map`
		_ = k
	}
	for k := range maps.Keys(m) { // want `maps.Keys yields the entries of a map in random order`
		_ = k
	}
	var g M
	for range g { // want `ranging over a map has a random order`
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		_ = m[k]
	}
	_ = slices.Collect(maps.Values(m)) // want `maps.Values yields the entries of a map in random order`
	reflect.ValueOf(m).MapRange()      // want `reflect.MapRange yields the entries`
	for range []int{1} {
	}
	delete(m, "a")
}
