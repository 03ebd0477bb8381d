package shard

import (
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestAskedOptionsAreComparedByTheirValues: an option that the shard's genesis lacks, because the game has gained it
// since, has had its default.
func TestAskedOptionsAreComparedByTheirValues(t *testing.T) {
	type options struct {
		Monsters int32
		Walls    int32
		Match    float64 `later:"true"`
	}
	game := ecs.Game{Name: "g", TickRate: 30, Options: options{Monsters: 200, Walls: 4}, Setup: func(*ecs.World) {}}
	for _, c := range []struct{ asked, has, want string }{
		{``, `{"monsters":200}`, ""},
		{`{"monsters":200}`, `{"monsters":200}`, ""},
		{`{"walls":4}`, `{"monsters":200}`, ""},
		{`{"match":0}`, `{"monsters":200}`, ""},
		{`{"match":9}`, `{"match":9.0}`, ""},
		{`{"monsters":3}`, `{"monsters":200}`, "shard: refused: other options: the shard has had monsters 200 since its genesis, 3 was asked for"},
		{`{"match":9}`, `{"monsters":200}`, "shard: refused: other options: the shard has had match 0 since its genesis, 9 was asked for"},
		{`{"match":0}`, `{"match":9}`, "shard: refused: other options: the shard has had match 9 since its genesis, 0 was asked for"},
		{`{"walls":5}`, `{}`, "shard: refused: other options: the shard has had walls 4 since its genesis, 5 was asked for"},
	} {
		got := ""
		if err := differs(game, []byte(c.asked), []byte(c.has)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("asked for %s, has %s: %q, want %q", c.asked, c.has, got, c.want)
		}
	}
}
