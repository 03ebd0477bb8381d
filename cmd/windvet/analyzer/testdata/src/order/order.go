package order

import (
	"maps"
	"reflect"
	"slices"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) {
	ecs.System(w, "count", count[map[string]int])
	ecs.System(w, "counted", func(t *ecs.Tick) { counted(t) })
}

func count[M ~map[string]int](t *ecs.Tick) {
	m := map[string]int{"a": 1}
	for k := range m { // want `ranging over a map has a random order: sort them first \(slices.Sorted\(maps.Keys\(m\)\)\), or keep a slice beside the map`
		_ = k
	}
	for k := range maps.Keys(m) { // want `maps.Keys yields the entries of a map in random order`
		_ = k
	}
	var g M
	for k := range g { // want `ranging over a map has a random order`
		_ = k
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		_ = m[k]
	}
	_ = slices.Collect(maps.Values(m)) // want `maps.Values yields the entries of a map in random order`
	reflect.ValueOf(m).MapRange()      // want `reflect.Value.MapRange yields the entries`
	for range []int{1} {
	}
	delete(m, "a")
}

// counted has loops over maps that give the same result in any order.
func counted(t *ecs.Tick) (n int, sum int64, keys []string) {
	m := map[string]int64{}
	for range m {
		n++
	}
	for _, v := range m {
		sum += v
		n++
	}
	for k := range m {
		delete(m, k)
	}
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for k, v := range m {
		if v > 3 {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var mean float64
	for _, v := range m { // want `ranging over a map has a random order`
		mean += float64(v)
	}
	for k := range m { // want `ranging over a map has a random order`
		keys = append(keys, k)
	}
	for range m { // want `ranging over a map has a random order`
		m[keys[0]] = 1
	}
	for range m { // want `ranging over a map has a random order`
		for k := range m { // want `ranging over a map has a random order`
			keys = append(keys, k)
		}
	}
	for _, v := range m { // want `ranging over a map has a random order`
		sum += v
		if sum > 10 {
			break
		}
	}
	for _, v := range m { // want `ranging over a map has a random order`
		sum += v * int64(n)
		n++
	}
	return n, sum, keys
}
