package cmd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ferris1/wind/cmd/node"
)

// showStatus keeps one line about the world up to date until stop is called, if stderr is a terminal.
func (a *app) showStatus(n *node.Node, shard bool) (stop func()) {
	if !a.stderr.terminal() {
		return func() {}
	}
	return line(a.stderr, time.Second, time.Second, func() string {
		s := n.Stats()
		if !shard {
			r := n.RoomStats()
			return fmt.Sprintf("%s, %.0f of %.0f ms of work per second, %d waiting, %d ended here", plural(r.Hosted, "room"), r.Used, r.Capacity, r.Waiting, r.Ended)
		}
		return fmt.Sprintf("%s, tick %d: %s, %s, commit p99 %.2f ms, %s", s.Host.Phase, s.Host.Tick,
			plural(s.Clients.Clients, "client"), plural(s.Host.Entities, "entity"), s.Host.CommitMS.P99, eventsText(s.Events))
	})
}

// eventsText formats counts of events: "12 death, 340 hit".
func eventsText(events map[string]uint64) string {
	if len(events) == 0 {
		return "no events yet"
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(events)) {
		out = append(out, fmt.Sprintf("%d %s", events[name], name))
	}
	return strings.Join(out, ", ")
}
