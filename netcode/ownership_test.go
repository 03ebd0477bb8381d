package netcode_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/session"
)

// A node that regains or loses its shard keeps its gateway's connections: they have no sessions in the shard.
func TestOwnershipOfAShardIsNothingToRPC(t *testing.T) {
	d, _ := reflecting(t, func(c *netcode.Config) { c.Shard = "main" })
	s, err := session.New(d, session.Config{Shard: "main"})
	if err != nil {
		t.Fatal(err)
	}
	w, err := ecs.New(game, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := dialRPC(t, client.RPCConfig{Addr: d.TCPAddr().String(), Transport: client.TCP})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"owned", func() { s.Own(w, 1) }},
		{"disowned", func() { s.Disown(errors.New("fenced")) }},
		{"owned again", func() { s.Own(w, 2) }},
	} {
		change.do()
		if _, _, err := c.CallRaw(ctx, 1001, []byte("ann")); err != nil {
			t.Fatalf("once the shard is %s: %v", change.what, err)
		}
	}
}
