package sorting

import (
	"cmp"
	"slices"
	"sort"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) { ecs.System(w, "sort", order) }

func order(t *ecs.Tick) {
	s := []int{1}
	sort.Slice(s, func(i, j int) bool { return s[i] < s[j] }) // want `sort.Slice leaves equal elements in an order that a Go release may change: use slices.SortStableFunc or sort.SliceStable`
	slices.SortFunc(s, cmp.Compare[int])                      // want `slices.SortFunc leaves equal`
	slices.SortStableFunc(s, cmp.Compare[int])
	slices.Sort(s)
	sort.Ints(s)
}
