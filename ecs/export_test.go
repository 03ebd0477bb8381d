package ecs

// Bind links fn like a system, outside the schedule, and returns a function that runs it once.
func (w *World) Bind(fn any) func() {
	c := w.prepare("bound", "bound", nameSeed("bound"), fn)
	w.link(c)
	return func() {
		if v := w.run(c, c.seed); v.failed {
			panic(v.reason)
		}
	}
}

// SetTableLimits sets how many tables a world may have and how many empty ones a tick may leave. It returns a function
// that restores the limits.
func SetTableLimits(most, spare int) (undo func()) {
	m, s := maxTables, spareTables
	maxTables, spareTables = most, spare
	return func() { maxTables, spareTables = m, s }
}

// MaxTables returns how many tables a world may have.
func MaxTables() int { return maxTables }

// Uninhabited returns the number of tables without rows.
func (w *World) Uninhabited() int { return w.uninhabited }

// MayKeep returns how many empty tables a tick may leave.
func (w *World) MayKeep() int { return w.mayKeep() }

// Nodes returns the approximate number of arche's nodes, and how many the tables with rows need.
func (w *World) Nodes() (have, need int) { return w.nodes, w.route().nodes }

// Matched returns the number of tables that a query visits.
func (q *Query[V]) Matched() int {
	q.update()
	return len(q.matched)
}
