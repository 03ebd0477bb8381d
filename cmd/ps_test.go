package cmd

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/shard/discovery"
)

// TestPsSaysWhatHangs: STATE says hung, for a node, for an instance, and for an instance that drains too.
func TestPsSaysWhatHangs(t *testing.T) {
	r := psResult{Nodes: []psNode{{ID: "a"}, {ID: "b", Hung: "a step"}}}
	for _, i := range []discovery.Instance{
		{Type: "game", ID: "game-1", State: discovery.Up},
		{Type: "game", ID: "game-2", State: discovery.Up, Hung: "a handler"},
		{Type: "game", ID: "game-3", State: discovery.Draining},
		{Type: "game", ID: "game-4", State: discovery.Draining, Hung: "a handler"},
	} {
		r.Services = append(r.Services, psService{i, i.Fullness()})
	}
	var states []string
	for _, line := range strings.Split(strings.Join(psLines(r), "\n"), "\n")[1:] {
		states = append(states, strings.Fields(line)[2])
	}
	if got := strings.Join(states, " "); got != "up hung up hung draining hung" {
		t.Errorf("STATE: %s", got)
	}
}
