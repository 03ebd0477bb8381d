package shard

import (
	"bytes"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestTheRoomsOfACrewShareTheirSchemas: the game's Setup runs once for some options, and the hosts have one copy of its schema.
func TestTheRoomsOfACrewShareTheirSchemas(t *testing.T) {
	crew, setups := NewCrew(), 0
	defer crew.Close()
	game := walk(0)
	setup := game.Setup
	game.Setup = func(w *ecs.World) { setups++; setup(w) }
	host := func(options string) *Host {
		h, _, _ := newTestbed(t).host("a", func(c *HostConfig) {
			c.Crew, c.Game, c.Config = crew, game, ecs.Config{Seed: uint64(setups + 1), Options: []byte(options)}
		})
		return h
	}
	first, second, other := host(`{"walkers":3}`), host(`{"walkers": 3}`), host(`{"walkers":4}`)
	if setups != 2 {
		t.Errorf("Setup ran %d times for two kinds of rooms", setups)
	}
	schema := func(h *Host) []byte { return h.owner.cfg.Genesis.Schema }
	if &schema(first)[0] != &schema(second)[0] || &schema(first)[0] != &schema(other)[0] {
		t.Error("they have copies of one schema")
	}
	if !bytes.Contains(first.owner.cfg.Genesis.Options, []byte(`"walkers":3`)) || !bytes.Contains(other.owner.cfg.Genesis.Options, []byte(`"walkers":4`)) {
		t.Errorf("genesis has the options %s and %s", first.owner.cfg.Genesis.Options, other.owner.cfg.Genesis.Options)
	}
	game.Setup = func(*ecs.World) { panic("broken") }
	if _, err := New(HostConfig{Game: game, Cluster: "test", Shard: "main", Node: "a", Lineage: testLineage, Log: first.cfg.Log, Ownership: first.cfg.Ownership, Lease: first.cfg.Lease, Crew: crew, Config: ecs.Config{Options: []byte(`{"walkers":5}`)}}); err == nil {
		t.Error("a Setup that panics is no error")
	}
}
