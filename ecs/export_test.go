package ecs

// Bind links fn like a system, outside of the schedule, and returns a function that runs it once.
func (w *World) Bind(fn any) func() {
	c := w.prepare("bound", nameSeed("bound"), fn)
	w.link(c)
	return func() {
		if v := w.run(c, c.seed); v.failed {
			panic(v.reason)
		}
	}
}

// Mutations are the deliberate defects by name.
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
}

// Mutate switches a defect on and returns a function that switches it off.
func Mutate(m mutation) (undo func()) {
	mutant = m
	return func() { mutant = intact }
}
