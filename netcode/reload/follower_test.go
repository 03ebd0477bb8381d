package reload

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

// TestOnlyAReloadThatDidNotReachAnInstanceIsSaidToBeOne: one whose entry the watch shows before its commit arrives is not.
func TestOnlyAReloadThatDidNotReachAnInstanceIsSaidToBeOne(t *testing.T) {
	s, err := service.New(service.Config{Type: "game", ID: "a", Scripts: numbered(1), Store: rpc.NewMemoryStore()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	f := NewFollower("a", numbered(1))
	start := f.Step(Event{Kind: EventStart})
	start = f.Step(Event{Kind: EventKept, Flow: start[0].Flow})
	f.Step(Event{Kind: EventMade, Flow: start[0].Flow, Runtime: s})

	ask := f.Step(Event{Kind: EventAsked, Step: Step{Op: OpPrepare, Reload: "r1", Modules: numbered(2)}})
	if a := f.Step(Event{Kind: EventKept, Flow: ask[0].Flow}); len(a) != 1 || a[0].Err != nil {
		t.Fatalf("it prepares with %+v", a)
	}
	if got := said(f.Step(Event{Kind: EventTold, Entry: entryOf(1, "r1", numbered(2))})); got != "reloaded scripts are in force" {
		t.Errorf("a reload that it prepared is %q", got)
	}
	if got := said(f.Step(Event{Kind: EventTold, Entry: entryOf(2, "r2", numbered(3))})); !strings.Contains(got, "reloaded without this instance") {
		t.Errorf("a reload that did not reach it is %q", got)
	}
	if f.Generation() != 2 {
		t.Errorf("generation %d is in force", f.Generation())
	}
}

// said joins what actions log.
func said(actions []Action) string {
	var lines []string
	for _, a := range actions {
		if a.Kind == ActionLog {
			lines = append(lines, a.Text)
		}
	}
	return strings.Join(lines, "\n")
}
