package cmd

import (
	"os"
	"runtime/debug"
)

// relaxGC lets the heap of a gateway or a service grow to five times what lives before it is collected: they hold little
// and allocate for every request, so that the usual two times cost a fifth of their throughput. GOGC, when it is set,
// says otherwise.
func relaxGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
