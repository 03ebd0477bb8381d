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
