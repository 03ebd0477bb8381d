package cmd

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
)

// TestTheFirstAddressIsForClients: the label stands in the first line, whichever address that has, and each line says how to
// join there.
func TestTheFirstAddressIsForClients(t *testing.T) {
	for addrs, want := range map[[2]string]string{
		{"u", "t"}: "[[clients u UDP (KCP and datagrams): wind bots --addr u] [ t TCP, the same frames]]",
		{"u", ""}:  "[[clients u UDP (KCP and datagrams): wind bots --addr u]]",
		{"", "t"}:  "[[clients t TCP: wind bots --transport tcp --addr t]]",
	} {
		if got := fmt.Sprint(clientLines(addrs[0], addrs[1], nil)); got != want {
			t.Errorf("%q: %s, want %s", addrs, got, want)
		}
	}
}

// TestTheEndOfDevSaysWhatFailed: each failing system with its count, and that its ticks are committed.
func TestTheEndOfDevSaysWhatFailed(t *testing.T) {
	game := ecs.Game{Name: "ill", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.System(w, "stumbles", func(*ecs.Tick) { panic("a stone") })
		ecs.System(w, "rarely", func(t *ecs.Tick) {
			if t.Now() == 1 {
				panic("a pebble")
			}
		})
	}}
	n := played(t, game, t.TempDir())
	var r nodeResult
	r.settle(n)
	if r.Committed == 0 || len(r.Failures) != 2 || r.Failures["stumbles"] != r.Committed || r.Failures["rarely"] != 1 {
		t.Errorf("of %d ticks failed %v", r.Committed, r.Failures)
	}
	want := fmt.Sprintf("failed systems and commands, with the number of failures: stumbles %d, rarely 1; their ticks are committed, ", r.Committed)
	if out := strings.Join(nodeLines(r), "\n"); !strings.Contains(out, want) {
		t.Errorf("it ends with\n%s\nwant %s", out, want)
	}
}

// played runs a node of a game until a few ticks are committed, and stops it.
func played(t *testing.T, game ecs.Game, data string) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), node.Config{
		Game: game, Data: data, TCP: "127.0.0.1:0", Fast: true, Logger: slog.New(slog.DiscardHandler),
		Embedded: node.Embedded{NATSPort: node.AnyPort, EtcdPort: node.AnyPort},
	})
	if err != nil {
		t.Fatal(err)
	}
	for n.Stats().Host.Committed < 5 {
		select {
		case <-n.Done():
			t.Fatal(n.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	return n
}
