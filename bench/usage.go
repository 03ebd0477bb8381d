package bench

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// usage returns the processor time that a process has taken so far, and its resident memory in bytes. It needs /proc.
func usage(pid int) (cpu time.Duration, resident int, err error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0, fmt.Errorf("bench: processor time and memory of process %d: %w (only Linux tells)", pid, err)
	}
	s, err := p.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("bench: processor time and memory of process %d: %w", pid, err)
	}
	return time.Duration(s.CPUTime() * float64(time.Second)), s.ResidentMemory(), nil
}
