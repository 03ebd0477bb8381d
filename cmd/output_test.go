package cmd

import (
	"strings"
	"sync"
	"testing"

	"github.com/ferris1/wind/cmd/examples/arena"
)

// TestLinesOfManyGoroutinesStayWhole: whoever calls Run may pass a writer that is not safe for concurrent use.
func TestLinesOfManyGoroutinesStayWhole(t *testing.T) {
	var out, log strings.Builder
	a := newApp(newSelf("wind"), arena.Game, &out, &log, nil)
	a.level = "info"
	if err := a.openLog(); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				a.tell("told by %d", i)
				a.log.Info("logged", "by", i)
			}
		})
	}
	group.Wait()
	a.repeats.close()
	told := 0
	for line := range strings.Lines(log.String()) {
		switch {
		case strings.HasPrefix(line, "told by ") && len(line) == len("told by 0\n"):
			told++
		case strings.HasPrefix(line, "time=") && strings.Count(line, "msg=") == 1:
		default:
			t.Errorf("a torn line: %q", line)
		}
	}
	if told != 800 {
		t.Errorf("%d of 800 lines arrived", told)
	}
}
