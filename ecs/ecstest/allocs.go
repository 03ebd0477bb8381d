package ecstest

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// Allocations checks that a tick in the steady state, including the encoding of its delta, makes at most Config.Allocs
// allocations on average, rounded down: memory that grows now and then does not count. Do not use it in parallel tests,
// whose allocations would count too.
func Allocations(tb TB, g ecs.Game, c Config) {
	tb.Helper()
	c = start(tb, c)
	const ticks = 300
	w := newWorld(tb, g, c, 6)
	play := newTraffic(c, 6)
	play.staying = true
	frames := make([]ecs.Frame, 0, 64) // the players' moves, to repeat
	for range c.WarmUp {
		f := play.frame(w)
		w.Step(f)
		if stays(f) {
			if len(frames) == cap(frames) {
				frames = slices.Delete(frames, 0, 1)
			}
			frames = append(frames, f)
		}
	}
	delta := make([]byte, 0, 1<<20)
	n, seq := 0, uint64(1<<32)
	step := func() {
		f := ecs.Frame{Tick: w.Tick() + 1}
		if len(frames) > 0 {
			f.Commands = frames[n%len(frames)].Commands
		}
		for i := range f.Commands {
			seq++
			f.Commands[i].Seq = seq
		}
		n++
		delta = w.Step(f).Delta.AppendTo(delta[:0])
	}
	for range ticks { // includes the commands' new sequence numbers
		step()
	}
	got := int(testing.AllocsPerRun(ticks, step))
	if got > c.Allocs {
		tb.Errorf("a tick makes %d allocations, %d are allowed%s", got, c.Allocs, culprits(step, ticks))
	}
}

// stays reports whether a frame has neither joins nor leaves.
func stays(f ecs.Frame) bool {
	return !slices.ContainsFunc(f.Commands, func(c ecs.Command) bool { return c.Kind < firstOwnKind })
}

// culprits names the functions that allocate most while step runs n times.
func culprits(step func(), n int) string {
	rate := runtime.MemProfileRate
	defer func() { runtime.MemProfileRate = rate }()
	runtime.MemProfileRate = 1
	before := allocationsBySite()
	for range n {
		step()
	}
	after := allocationsBySite()
	type site struct {
		name  string
		count int64
	}
	var sites []site
	for name, count := range after {
		if d := count - before[name]; d >= int64(n)/2 {
			sites = append(sites, site{name, d})
		}
	}
	slices.SortFunc(sites, func(a, b site) int { return cmp.Or(cmp.Compare(b.count, a.count), strings.Compare(a.name, b.name)) })
	var s strings.Builder
	for _, site := range sites[:min(3, len(sites))] {
		fmt.Fprintf(&s, "\n\t%.1f per tick in %s", float64(site.count)/float64(n), site.name)
	}
	return s.String()
}

// ours reports whether a stack belongs to the counting itself.
func ours(stack []uintptr) bool {
	for frames := runtime.CallersFrames(stack); ; {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "ecstest.allocationsBySite") {
			return true
		}
		if !more {
			return false
		}
	}
}

// allocationsBySite counts allocations by the innermost function outside runtime and reflect.
func allocationsBySite() map[string]int64 {
	runtime.GC() // the profile lags: two collections bring it up to date
	runtime.GC()
	records := make([]runtime.MemProfileRecord, 4096)
	for {
		n, ok := runtime.MemProfile(records, true)
		if ok {
			records = records[:n]
			break
		}
		records = make([]runtime.MemProfileRecord, n+1024)
	}
	counts := map[string]int64{}
	for _, r := range records {
		frames := runtime.CallersFrames(r.Stack())
		if ours(r.Stack()) {
			continue
		}
		for {
			f, more := frames.Next()
			if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") && !strings.HasPrefix(f.Function, "reflect.") {
				counts[fmt.Sprintf("%s (%s:%d)", f.Function, f.File[strings.LastIndexByte(f.File, '/')+1:], f.Line)] += r.AllocObjects
				break
			}
			if !more {
				break
			}
		}
	}
	return counts
}
