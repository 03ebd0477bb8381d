package service_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

// answering is a module whose handler of StringValue answers with an expression.
func answering(before, expression string) string {
	return "def Handler_StringValue(client, request):\n    " + before + "\n    return StringValue(value = str(" + expression + "))\n"
}

func TestMemoryIsMuchLikeADict(t *testing.T) {
	for expression, want := range map[string]string{
		`memory["a"]["n"]`: "2", `memory.get("a")`: `{"n": 2, "list": [1]}`, `memory.get("x", 3)`: "3", `len(memory)`: "3",
		`[k for k in memory]`: `["a", "b", "c"]`, `"a" in memory`: "True", `"x" in memory`: "False", `memory.keys("b")`: `["b"]`,
		`memory.pop("b")`: "1", `memory.pop("x", 9)`: "9", `memory.add("b", 2)`: "3", `memory.add("new")`: "1",
		`memory.setdefault("a", 0)["n"]`: "2", `memory.setdefault("new", 5) + memory["new"]`: "10", `memory.set("a", 1)`: "None",
	} {
		s := start(t, service.Config{Scripts: client(answering(`memory["a"] = {"n": 1}; memory["b"] = 1; memory["c"] = None
    memory["a"]["n"] += 1; memory["a"].setdefault("list", []).append(1)`, expression))})
		if got := text(t, ask(t, s, from("ann", wrapperspb.String("")))); got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
}

func TestMemoryOutlivesReloads(t *testing.T) {
	s := start(t, service.Config{Scripts: client(answering(`memory.setdefault("list", []).append("old")`, `memory["list"]`))})
	ask(t, s, from("ann", wrapperspb.String("")))
	if _, err := s.Prepare("r", client(answering(`memory.setdefault("list", []).append("new")`, `memory["list"]`))); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit("r"); err != nil {
		t.Fatal(err)
	}
	if got := text(t, ask(t, s, from("ann", wrapperspb.String("")))); got != `["old", "new"]` {
		t.Fatalf("memory holds %s", got)
	}
}

func TestADryRunReachesNothing(t *testing.T) {
	s := start(t, service.Config{Scripts: client(answering("pass", "len(memory)")), Bus: rpc.NewMemoryBus()})
	for _, line := range []string{
		`memory["a"] = 1`, `memory.set("a", 1)`, `memory.add("a")`, `x = memory["a"]`, `store.put("a", 1, 0)`, `sleep(1)`,
		`push("ann", StringValue())`, `broadcast(StringValue())`, `call("game", StringValue())`, `tell("game", StringValue())`, `now()`, `random()`, `log("x")`, `error("internal", "x")`,
	} {
		_, err := s.Prepare("r", client(line+"\n"+answering("pass", "1")))
		wantError(t, err, "can be used in handlers, not while a module loads")
	}
	if _, err := s.Prepare("r", client("n = len(memory)\nb = \"a\" in memory\nk = [k for k in memory]\n"+answering("pass", "n"))); err != nil {
		t.Fatal(err)
	}
	if got := text(t, ask(t, s, from("ann", wrapperspb.String("")))); got != "0" {
		t.Fatalf("memory has %s keys", got)
	}
}
