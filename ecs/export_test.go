package ecs

// Bind links fn like a system, outside the schedule, and returns a function that runs it once.
func (w *World) Bind(fn any) func() {
	c := w.prepare("bound", nameSeed("bound"), fn)
	w.link(c)
	return func() {
		if v := w.run(c, c.seed); v.failed {
			panic(v.reason)
		}
	}
}

// Mutations are the deliberate defects, by name.
var Mutations = map[string]mutation{
	"an emptied table is left out of the restore":         tableNotRestored,
	"padding is compared and hashed":                      paddingHashed,
	"transients are not zeroed":                           transientsKept,
	"a removal is left out of the delta":                  removalNotRecorded,
	"a write is forgotten when its entity changes tables": touchNotCarried,
	"free slots are restored in another order":            freeSlotsReversed,
	"a failed system's entities are not taken back":       poolNotRolledBack,
	"NaNs are kept as they are":                           nansKept,
	"last inputs are left out of the snapshot":            inputsNotSaved,
	"commands are applied as often as they come":          sequenceIgnored,
	"resources are left out of the delta":                 resourceNotInDelta,
	"a failed system's events are kept":                   eventsKept,
	"tables without rows are kept":                        tablesKept,
	"a bundle remembers a table that was given back":      bundlesStale,
	"a query does not look at the tables again":           queriesStale,
	"the limit of tables is not looked at":                limitIgnored,
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

// Mutate enables a defect and returns a function that disables it.
func Mutate(m mutation) (undo func()) {
	mutant = m
	return func() { mutant = intact }
}
