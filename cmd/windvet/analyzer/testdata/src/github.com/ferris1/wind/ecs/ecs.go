// Package ecs replaces the real one: windvet recognises it by its path and the names of its functions.
package ecs

type World struct{}

type Tick struct{ now uint64 }

func (t *Tick) Now() uint64 { return t.now }

type Query[V any] struct{ rows []V }

func (q *Query[V]) Each(yield func(V) bool) {
	for _, v := range q.rows {
		if !yield(v) {
			return
		}
	}
}

type Cmd[C any] struct{ Value C }

type Game struct {
	Name  string
	Setup func(*World)
}

func System(w *World, name string, fn any)             {}
func Handle[C any](w *World, name string, fn any)      {}
func Init(w *World, fn any)                            {}
func Component[T any](w *World, name string, o ...any) {}

type Entity struct{ id, gen uint32 }

type Text16 struct {
	n byte
	b [15]byte
}

type With[T any] struct{}
