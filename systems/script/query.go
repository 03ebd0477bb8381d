package script

import (
	"bytes"
	"fmt"
	"unsafe"

	"go.starlark.net/starlark"

	"github.com/ferris1/wind/ecs"
)

// queryValue is query(…): entities by table, and within a table by spans of rows. It never changes: to see entities
// spawned or changed since, make a new query.
type queryValue struct {
	opaque
	r     *run
	with  []int
	parts []rows
	n     int
}

// rows are some rows of a table.
type rows struct {
	t     *ecs.Table
	spans []span
}

type span struct{ from, to int }

var queryMethods = newMethods(map[string]method{
	"count": queryCount, "sum": querySum, "min": queryMin, "max": queryMax, "add": queryAdd, "mul": queryMul, "set": querySet,
	"copy": queryCopy, "integrate": queryIntegrate, "where": queryWhere, "entities": queryEntities, "despawn": queryDespawn,
})

var (
	_ starlark.Sequence = (*queryValue)(nil)
	_ starlark.HasAttrs = (*queryValue)(nil)
)

func (q *queryValue) String() string       { return fmt.Sprintf("query of %d", q.n) }
func (q *queryValue) Type() string         { return "query" }
func (q *queryValue) Truth() starlark.Bool { return q.n > 0 }
func (q *queryValue) Len() int             { return q.n }
func (q *queryValue) AttrNames() []string  { return queryMethods.names() }
func (q *queryValue) Attr(name string) (starlark.Value, error) {
	return queryMethods.attr(q, name), nil
}

// Iterate yields the entities, in the order of tables and rows.
func (q *queryValue) Iterate() starlark.Iterator { return &queryIterator{q: q} }

type queryIterator struct {
	q               *queryValue
	part, span, row int // row: in the span
}

func (i *queryIterator) Done() {}

func (i *queryIterator) Next(v *starlark.Value) bool {
	for i.part < len(i.q.parts) {
		p := &i.q.parts[i.part]
		if i.span == len(p.spans) {
			i.part, i.span = i.part+1, 0
			continue
		}
		s := p.spans[i.span]
		if s.from+i.row == s.to {
			i.span, i.row = i.span+1, 0
			continue
		}
		*v = entityValue(p.t.Entities()[s.from+i.row])
		i.row++
		return true
	}
	return false
}

// query implements query("health", "position", without=["dead"], where=("health.HP", "<", 50)); where may be a list of
// conditions.
func query(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var without starlark.Iterable
	var where starlark.Value
	if err := starlark.UnpackArgs(b.Name(), nil, named, "without?", &without, "where?", &where); err != nil {
		return nil, err
	}
	if len(args) == 0 || len(args) > maxNames {
		return nil, fmt.Errorf("query: want the names of 1 to %d components", maxNames)
	}
	q := &queryValue{r: r}
	for _, a := range args {
		id, err := component(r.a.Schema(), a)
		if err != nil {
			return nil, err
		}
		q.with = append(q.with, id)
	}
	not, err := components(r, without)
	if err != nil {
		return nil, err
	}
	for _, t := range r.a.Tables(nil, q.with, not) {
		if t.Len() > 0 {
			q.parts = append(q.parts, rows{t, []span{{0, t.Len()}}})
			q.n += t.Len()
		}
	}
	r.charge(16 * len(q.parts))
	return q.filtered(where)
}

// components returns the components that a list names.
func components(r *run, list starlark.Iterable) (ids []int, err error) {
	if list == nil {
		return nil, nil
	}
	i := list.Iterate()
	defer i.Done()
	for v := starlark.Value(nil); i.Next(&v); {
		id, err := component(r.a.Schema(), v)
		if err != nil {
			return nil, err
		}
		if ids = append(ids, id); len(ids) > maxNames {
			return nil, fmt.Errorf("query: more than %d components in without", maxNames)
		}
	}
	return ids, nil
}

// filtered applies the argument where.
func (q *queryValue) filtered(where starlark.Value) (*queryValue, error) {
	if where == nil || where == starlark.None {
		return q, nil
	}
	conditions, ok := where.(*starlark.List)
	if !ok {
		conditions = starlark.NewList([]starlark.Value{where})
	}
	for i := range conditions.Len() {
		c, ok := conditions.Index(i).(starlark.Tuple)
		if !ok || len(c) != 3 {
			return nil, fmt.Errorf(`query: where must be ("component.field", "<", value) or a list of these`)
		}
		path, ok1 := starlark.AsString(c[0])
		op, ok2 := starlark.AsString(c[1])
		if !ok1 || !ok2 {
			return nil, fmt.Errorf(`query: where must be ("component.field", "<", value) or a list of these`)
		}
		var err error
		if q, err = q.where(path, op, c[2]); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// place finds a field of a component that the query asks for.
func (q *queryValue) place(path string) (place, error) {
	p, err := q.r.place(path)
	if err != nil {
		return p, err
	}
	for _, c := range q.with {
		if c == p.component {
			return p, nil
		}
	}
	return p, fmt.Errorf("the query does not ask for %s", q.r.a.Schema().Components[p.component].Name)
}

// lanes calls f with the field of the rows, span by span, and charges for it.
func (q *queryValue) lanes(p place, write bool, f func(part, from int, l lane)) {
	q.r.charge(q.n)
	for i := range q.parts {
		part := &q.parts[i]
		c, _ := part.t.Column(p.component)
		if write {
			c, _ = q.r.a.Write(part.t, p.component)
		}
		for _, s := range part.spans {
			f(i, s.from, lane{pointer(c.Data, s.from*c.Stride+p.field.Offset), c.Stride, s.to - s.from})
		}
	}
}

func receiver(b *starlark.Builtin) *queryValue { return b.Receiver().(*queryValue) }

func queryCount(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	return starlark.MakeInt(receiver(b).n), starlark.UnpackPositionalArgs(b.Name(), args, named, 0)
}

// onePath reads (field), and returns the field and the loops for it.
func onePath(b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (p place, k kernel, err error) {
	var path string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &path); err != nil {
		return p, k, err
	}
	if p, err = receiver(b).place(path); err != nil {
		return p, k, err
	}
	k, err = kernelOf(&p.field)
	return p, k, err
}

func querySum(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	p, k, err := onePath(b, args, named)
	if err != nil {
		return nil, err
	}
	t := total{floats: p.field.Kind == ecs.KindF32 || p.field.Kind == ecs.KindF64}
	receiver(b).lanes(p, false, func(_, _ int, l lane) { k.total(l, &t) })
	return t.value(), nil
}

func queryMin(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	return extreme(b, args, named, false)
}

func queryMax(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	return extreme(b, args, named, true)
}

// extreme returns the least or greatest value, None if the query is empty.
func extreme(b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple, greatest bool) (starlark.Value, error) {
	p, k, err := onePath(b, args, named)
	if err != nil {
		return nil, err
	}
	less := comparisons["<"]
	if greatest {
		less = comparisons[">"]
	}
	var best starlark.Value = starlark.None
	receiver(b).lanes(p, false, func(_, _ int, l lane) {
		i := k.extreme(l, greatest)
		if i < 0 {
			return
		}
		one := lane{unsafe.Pointer(at[byte](l, i)), l.stride, 1}
		if best != starlark.None {
			better := false
			k.compare(one, less, func(int) { better = true })
			if !better {
				return
			}
		}
		less.with = k.load(one.p)
		best = getOne(p.field.Kind, unsafe.Slice((*byte)(one.p), p.field.Width))
	})
	return best, nil
}

func queryAdd(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	return compute(b, args, named, opAdd)
}

func queryMul(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	return compute(b, args, named, opMul)
}

// compute implements q.add and q.mul.
func compute(b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple, o operation) (starlark.Value, error) {
	var path string
	a := arithmetic{}
	if err := a.unpack(b, args, named, &path); err != nil {
		return nil, err
	}
	p, err := receiver(b).place(path)
	if err != nil {
		return nil, err
	}
	k, err := kernelOf(&p.field)
	if err != nil {
		return nil, err
	}
	receiver(b).lanes(p, true, func(_, _ int, l lane) { k.arithmetic(l, o, &a) })
	return starlark.None, nil
}

// querySet implements q.set("component.field", value).
func querySet(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var path string
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 2, &path, &v); err != nil {
		return nil, err
	}
	p, err := receiver(b).place(path)
	if err != nil {
		return nil, err
	}
	value, err := encode(&p.field, v)
	if err != nil {
		return nil, err
	}
	receiver(b).lanes(p, true, func(_, _ int, l lane) {
		for i := range l.n {
			copy(unsafe.Slice(at[byte](l, i), len(value)), value)
		}
	})
	return starlark.None, nil
}

// encode returns a value as it lies in the field's memory.
func encode(f *ecs.Field, v starlark.Value) ([]byte, error) {
	alone := *f
	alone.Offset = 0
	b := make([]byte, f.Width*f.Count)
	return b, put(&alone, b, v)
}

// twoPlaces finds the fields of copy and integrate.
func (q *queryValue) twoPlaces(to, from string) (a, b place, err error) {
	if a, err = q.place(to); err != nil {
		return a, b, err
	}
	b, err = q.place(from)
	return a, b, err
}

// pairs calls f with both fields of the same rows.
func (q *queryValue) pairs(to, from place, f func(a, b lane) error) error {
	q.r.charge(q.n)
	for i := range q.parts {
		part := &q.parts[i]
		b, _ := part.t.Column(from.component)
		a, _ := q.r.a.Write(part.t, to.component)
		for _, s := range part.spans {
			n := s.to - s.from
			err := f(lane{pointer(a.Data, s.from*a.Stride+to.field.Offset), a.Stride, n}, lane{pointer(b.Data, s.from*b.Stride+from.field.Offset), b.Stride, n})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// queryCopy implements q.copy("a.X", "b.X"): a.X = b.X.
func queryCopy(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var to, from string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 2, &to, &from); err != nil {
		return nil, err
	}
	x, y, err := receiver(b).twoPlaces(to, from)
	if err != nil {
		return nil, err
	}
	return starlark.None, receiver(b).pairs(x, y, func(to, from lane) error { return copyField(to, from, &x.field, &y.field) })
}

// queryIntegrate implements q.integrate("position.X", "velocity.X", 1.0): position.X += velocity.X * 1.0.
func queryIntegrate(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var to, from string
	k := starlark.Value(starlark.Float(1))
	if err := starlark.UnpackArgs(b.Name(), args, named, "to", &to, "rate", &from, "times?", &k); err != nil {
		return nil, err
	}
	times, err := numberOf(k)
	if err != nil {
		return nil, err
	}
	x, y, err := receiver(b).twoPlaces(to, from)
	if err != nil {
		return nil, err
	}
	return starlark.None, receiver(b).pairs(x, y, func(to, from lane) error { return integrate(to, from, &x.field, &y.field, times.f) })
}

// queryWhere implements q.where("health.HP", "<", 50): a query of the entities that match.
func queryWhere(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var path, op string
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 3, &path, &op, &v); err != nil {
		return nil, err
	}
	return receiver(b).where(path, op, v)
}

func (q *queryValue) where(path, op string, v starlark.Value) (*queryValue, error) {
	c, ok := comparisons[op]
	if !ok {
		return nil, fmt.Errorf("where: %q is not one of < <= > >= == !=", op)
	}
	p, err := q.place(path)
	if err != nil {
		return nil, err
	}
	next := &queryValue{r: q.r, with: q.with}
	keep := func(part, row int) {
		t := q.parts[part].t
		if n := len(next.parts); n == 0 || next.parts[n-1].t != t {
			next.parts = append(next.parts, rows{t: t})
		}
		spans := &next.parts[len(next.parts)-1].spans
		if n := len(*spans); n > 0 && (*spans)[n-1].to == row {
			(*spans)[n-1].to++
		} else {
			*spans = append(*spans, span{row, row + 1})
		}
		next.n++
	}
	if k, err := kernelOf(&p.field); err == nil {
		if c.with, err = numberOf(v); err != nil {
			return nil, fmt.Errorf("where: %w", err)
		}
		q.lanes(p, false, func(part, from int, l lane) {
			k.compare(l, c, func(i int) { keep(part, from+i) })
		})
		return next, nil
	}
	return next, q.same(p, op, v, keep)
}

// same is where for fields that can only be compared with == and !=.
func (q *queryValue) same(p place, op string, v starlark.Value, keep func(part, row int)) error {
	if op != "==" && op != "!=" {
		return fmt.Errorf("where: %s is not a number: only == and != compare it", p.field.Path)
	}
	value, err := encode(&p.field, v)
	if err != nil {
		return fmt.Errorf("where: %w", err)
	}
	q.lanes(p, false, func(part, from int, l lane) {
		for i := range l.n {
			if bytes.Equal(unsafe.Slice(at[byte](l, i), len(value)), value) == (op == "==") {
				keep(part, from+i)
			}
		}
	})
	return nil
}

// queryEntities implements q.entities(limit=1000): a list of the first entities.
func queryEntities(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	limit := 1000
	if err := starlark.UnpackArgs(b.Name(), args, named, "limit?", &limit); err != nil {
		return nil, err
	}
	if limit < 0 || limit > maxEntities {
		return nil, fmt.Errorf("entities: a limit of %d is outside 0 to %d", limit, maxEntities)
	}
	r.charge(16 * min(limit, receiver(b).n))
	var list []starlark.Value
	i := receiver(b).Iterate()
	for v := starlark.Value(nil); len(list) < limit && i.Next(&v); {
		list = append(list, v)
	}
	return starlark.NewList(list), nil
}

// queryDespawn implements q.despawn(): all entities despawn when the system returns.
func queryDespawn(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 0); err != nil {
		return nil, err
	}
	r.charge(4 * receiver(b).n)
	i := receiver(b).Iterate()
	for v := starlark.Value(nil); i.Next(&v); {
		r.t.Despawn(ecs.Entity(v.(entityValue)))
	}
	return starlark.MakeInt(receiver(b).n), nil
}
