package service_test

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

// TestACommandThatTheGameRejectsIsNoEffect: one that was committed is, and the sender is the instance.
func TestACommandThatTheGameRejectsIsNoEffect(t *testing.T) {
	s := newShop(t, service.Config{Scripts: trader(`
    command("main", "shop.trade", {"count": request.item.count, "name": request.item.name})
    error("not_found", service.type + " " + service.instance)
`)})
	var got []rpc.ShardCommand
	s.Bus.Shard("main", func(c rpc.ShardCommand) (uint64, error) {
		got = append(got, c)
		if strings.Contains(string(c.Value), `"count":7`) {
			return 0, rpc.Errorf(rpc.FailedPrecondition, "there are six")
		}
		return 12, nil
	})
	for json, want := range map[string]rpc.Error{
		`{"item": {"name": "axe", "count": 7}}`: {Code: rpc.FailedPrecondition, Text: "there are six"},
		`{"item": {"name": "axe", "count": 6}}`: {Code: rpc.NotFound, Text: "game game-1", Maybe: true},
	} {
		_, err := s.trade(t, json)
		if e := rpc.ErrorOf(err); *e != want {
			t.Errorf("%s ends with %+v, want %+v", json, e, want)
		}
	}
	for _, c := range got {
		if c.Name != "shop.trade" || c.From != "game/game-1" || !strings.Contains(string(c.Value), `"name":"axe"`) {
			t.Errorf("the shard gets %+v %s", c, c.Value)
		}
	}
	if len(got) != 2 {
		t.Errorf("the shard gets %d commands", len(got))
	}
}
