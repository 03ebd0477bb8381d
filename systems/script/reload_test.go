package script_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/script"
)

// moves is a module that first spawns something to move, then moves everything by n in each tick.
func moves(n int) script.Module {
	return mod("systems/move.star", fmt.Sprintf(`
load("lib/steps.star", "twice")

def system_waves(tick):
	if tick.now %% 3 == 0:
		r = tick.rand()
		spawn({"position": {"X": r.range(0, 10)}, "velocity": {"X": 0.5}, "health": {"HP": 20}})

def system_move(tick):
	q = query("position", "velocity")
	q.integrate("position.X", "velocity.X", times=twice(%d) / 2.0)
	for e in q.where("position.X", ">", 50):
		e.put("dead")
		emit("hit", {"Who": e})

def system_rules_of_death(tick):
	query("health", without=["dead"]).add("health.HP", -1, min=0)
	query("health").where("health.HP", "==", 0).despawn()
	resource("score").add("Red", %d)
`, n, n))
}

var steps = mod("lib/steps.star", "def twice(x):\n\treturn 2 * x\n")

// content returns the state of the game, without that of the scripts.
func content(w *ecs.World) string {
	var b strings.Builder
	for i := range w.Schema().Components {
		typ := &w.Schema().Components[i]
		if strings.HasPrefix(typ.Name, "wind.") {
			continue
		}
		for _, t := range w.Tables() {
			if c, ok := t.Column(i); ok {
				fmt.Fprintf(&b, "%s %x\n", typ.Name, c.Data)
			}
		}
	}
	fmt.Fprintln(&b, ecs.ResourceOf[score](w))
	return b.String()
}

func TestAReloadRunsFromTheSystemsOfItsTickOn(t *testing.T) {
	w := newWorld(t)
	reload(t, w, steps, moves(1))
	if got := ecs.ResourceOf[score](w).Red; got != 1 {
		t.Errorf("after the reload's own tick the score is %d, want 1", got)
	}
	step(w)
	reload(t, w, moves(10))
	if got := ecs.ResourceOf[score](w).Red; got != 12 {
		t.Errorf("the score is %d, want 1 + 1 + 10", got)
	}
	s, err := script.InForce(w)
	if err != nil || s.Generation != 2 || len(s.Modules) != 2 || s.Budget != script.DefaultBudget || s.SHA256 != script.SHA256([]script.Module{moves(10), steps}) {
		t.Errorf("in force: %+v, %v", s, err)
	}
}

func TestARollbackIsAReloadOfTheFormerSource(t *testing.T) {
	w := newWorld(t)
	// gain plays ten ticks and returns the score gained in each of them, and one thing's place.
	gain := func() (gains []int32, moved float64) {
		for range 10 {
			was, at := ecs.ResourceOf[score](w).Red, place(w)
			step(w)
			gains, moved = append(gains, ecs.ResourceOf[score](w).Red-was), place(w)-at
		}
		return gains, moved
	}
	reload(t, w, steps, moves(1))
	for range 6 {
		step(w)
	}
	first, _ := script.InForce(w)
	gains, moved := gain()
	reload(t, w, moves(7))
	otherGains, otherMoved := gain()
	reload(t, w, moves(1))
	again, movedAgain := gain()
	if !slices.Equal(gains, again) || moved != movedAgain || slices.Equal(gains, otherGains) || moved == otherMoved {
		t.Errorf("gains %v and %g, then %v and %g, then %v and %g", gains, moved, otherGains, otherMoved, again, movedAgain)
	}
	if s, err := script.InForce(w); err != nil || s.SHA256 != first.SHA256 || s.Generation != first.Generation+2 {
		t.Errorf("generation %d, %v", s.Generation, err)
	}
}

// place returns the position of the last thing in the first table of moving things.
func place(w *ecs.World) float64 {
	for _, table := range w.Tables() {
		if n := table.Len(); n > 0 {
			if p, ok := ecs.Get[position](w, table.Entities()[0]); ok {
				return p.X
			}
		}
	}
	return 0
}

func TestABrokenReloadIsRefusedBeforeItIsSent(t *testing.T) {
	w := newWorld(t)
	reload(t, w, steps, moves(1))
	before := w.AppendSnapshot(nil)
	for _, x := range []struct{ source, want string }{
		{"def system_move(tick:\n", "systems/move.star:1:22: got ':', want ')'"},
		{"def system_move(tick):\n\tqery('health')\n", "systems/move.star:2:3: undefined: qery (did you mean query?)"},
		{"while True: pass\n", "systems/move.star:1:1: loading used more than 1000000 steps"},
		{"def system_mvoe(tick):\n\tpass\n", "systems/move.star:1:5: no system calls system_mvoe (did you mean system_move?)"},
		{"def handle_arena_chose(tick, cmd):\n\tpass\n", "no command is handled by handle_arena_chose (did you mean handle_arena_choose?)"},
		{"X = 1\nsystem_move = X + 4\n", "systems/move.star:2:1: system_move is an int, want a function: def system_move(…)"},
		{"handle_arena_choose = None\n", "handle_arena_choose is a NoneType, want a function"},
		{"def system_move(tick, x):\n\tpass\n", "want def system_move(tick)"},
		{"def system_move(tick):\n\tquery('helth')\n", `systems/move.star:2:9: no component "helth" (did you mean health?)`},
		{"def system_move(tick):\n\tquery('health', without=['ded'])\n", `systems/move.star:2:28: no component "ded" (did you mean dead?)`},
		{"def system_move(tick):\n\tquery('health', where=('health.HQ', '<', 1))\n", `systems/move.star:2:26: health: no field "HQ" (did you mean HP?)`},
		{"def system_move(tick):\n\tquery('health').add('helth.HP', 1)\n", `systems/move.star:2:23: no component "helth" (did you mean health?)`},
		{"def system_move(tick):\n\tquery('position').copy('position.X', 'position.Z')\n", `systems/move.star:2:40: position: no field "Z"`},
		{"def system_move(tick):\n\tspawn({'health': {'PH': 1}})\n", `systems/move.star:2:21: health: no field "PH" (did you mean HP?)`},
		{"def system_move(tick):\n\tresource('scor')\n", `no resource "scor" (did you mean score?)`},
		{"def system_move(tick):\n\temit('hit', {'Whom': None})\n", `hit: no field "Whom" (did you mean who?)`},
		{"x = query('health')\n", "systems/move.star:1:10: query: no world exists while a module loads"},
	} {
		_, err := script.Commands(w, operator, 1, []script.Module{mod("systems/move.star", x.source)}, 1000)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got  %v\nwant %s", err, x.want)
		}
	}
	for _, x := range []struct {
		source ecs.Source
		module script.Module
		budget uint64
		want   string
	}{
		{ecs.Source{Kind: ecs.SourceService}, moves(2), 1, "only the host and operators change scripts"},
		{operator, moves(2), 0, "a budget of 0 steps is outside 1 to 1000000000"},
		{operator, script.Module{Name: "none.star"}, 1, "cannot remove module none.star: it does not exist"},
	} {
		if _, err := script.Commands(w, x.source, 1, []script.Module{x.module}, x.budget); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
	// Not an error: other values have methods and dictionaries with these names.
	fine := mod("systems/move.star", "def system_move(tick):\n\ts = set()\n\ts.add('helth.HP')\n\tresource('score').add('best.HP', 1)\n\t{'a.b': 1}.get('a.b')\n")
	if r, err := script.DryRun(w, []script.Module{fine}); err != nil || !strings.Contains(r.String(), "changed systems/move.star:system_move") {
		t.Errorf("got %v, %v", r, err)
	}
	if !bytes.Equal(before, w.AppendSnapshot(nil)) {
		t.Error("a dry run changed the world")
	}
}

// The test compares a world that got parts and a refused commit with two others. One got the same parts alone: equal
// checksums show that the commit left no trace. One got nothing: an equal game state shows that the old code runs on.
func TestARefusedCommitChangesNothing(t *testing.T) {
	bad := map[string]string{
		"syntax":  "def system_move(tick:\n",
		"unknown": "def system_move(tick):\n\tqery('health')\n",
		"endless": "while True: pass\n",
	}
	for name, source := range bad {
		got, parts, none := newWorld(t), newWorld(t), newWorld(t)
		for _, w := range []*ecs.World{got, parts, none} {
			reload(t, w, steps, moves(3))
			step(w)
		}
		commands := script.Unchecked(got, operator, 100, []script.Module{mod("systems/move.star", source)}, nil)
		o := step(got, commands...)
		if len(o.Failures) != 1 || !o.Failures[0].Rejected || !strings.HasPrefix(o.Failures[0].Reason, "systems/move.star:") {
			t.Errorf("%s: %v", name, o.Failures)
		}
		step(parts, commands[:len(commands)-1]...)
		step(none)
		for range 20 {
			if got.Checksum() != parts.Checksum() {
				t.Errorf("%s: tick %d: the refused commit left a trace", name, got.Tick())
				break
			}
			if content(got) != content(none) {
				t.Errorf("%s: tick %d: the game went another way", name, got.Tick())
				break
			}
			step(got)
			step(parts)
			step(none)
		}
		s, err := script.InForce(got)
		if err != nil || s.Generation != 1 {
			t.Errorf("%s: generation %d, %v", name, s.Generation, err)
		}
	}
}

func TestACommitNeedsItsParts(t *testing.T) {
	w := newWorld(t)
	reload(t, w, steps, moves(1))
	big := mod("big.star", "x = '"+strings.Repeat("y", 10_000)+"'\n")
	all := func() []ecs.Command { return script.Unchecked(w, operator, 100*w.Tick(), []script.Module{big}, nil) }
	refused := func(want string, commands ...ecs.Command) {
		t.Helper()
		before, _ := script.InForce(w)
		if o := step(w, commands...); !strings.Contains(failure(o), want) {
			t.Errorf("got %s, want %s", failure(o), want)
		}
		if now, err := script.InForce(w); err != nil || now.Generation != before.Generation {
			t.Errorf("%s: generation %d is in force, %v", want, now.Generation, err)
		}
	}
	c := all()
	if len(c) != 4 {
		t.Fatalf("%d commands for 10 kB", len(c))
	}
	refused("big.star: piece 2 of 3 is missing", c[0], c[2], c[3])
	c = all()
	refused("big.star: piece 3 of 3 is missing", c[0], c[1], c[3])
	c = all()
	other := script.Unchecked(w, operator, 7000, []script.Module{moves(9)}, nil)
	step(w, c[:3]...)
	step(w, other[0])
	refused("the parts of this reload are missing", c[3])
	refused("another reload came in between", script.Unchecked(w, operator, 8000, []script.Module{moves(9)}, func(_ *uint64, sha *[32]uint8) { sha[0]++ })...)
	for _, kind := range []ecs.SourceKind{ecs.SourceService, ecs.SourceShard} {
		refused("only the host and operators change scripts", script.Unchecked(w, ecs.Source{Kind: kind}, 1, []script.Module{moves(9)}, nil)...)
	}
	// In several ticks, with game ticks between them.
	c = all()
	for i := range c {
		if o := step(w, c[i]); failure(o) != "" {
			t.Fatal(failure(o))
		}
		step(w)
	}
	s, err := script.InForce(w)
	if err != nil || s.Generation != 2 || !bytes.Equal(s.Modules[0].Source, big.Source) {
		t.Errorf("in force: %d modules, %v", len(s.Modules), err)
	}
	if w.Validate(&ecs.Command{Kind: c[0].Kind, Source: operator, Payload: make([]byte, len(c[0].Payload))}) == nil {
		t.Error("an empty part is valid")
	}
}

func TestModulesGoAndBudgetsChange(t *testing.T) {
	w := newWorld(t)
	reload(t, w, steps, moves(1), mod("old.star", "x = 1\n"), mod("empty.star", ""))
	if o := reload(t, w, script.Module{Name: "old.star"}); failure(o) != "" {
		t.Fatal(failure(o))
	}
	s, _ := script.InForce(w)
	if len(s.Modules) != 3 || s.Modules[0].Name != "empty.star" || s.Modules[0].Source == nil {
		t.Errorf("in force: %v", s.Modules)
	}
	if c, err := script.Commands(w, operator, 1, []script.Module{moves(1)}, script.DefaultBudget); err != nil || c != nil {
		t.Errorf("a reload without changes makes %d commands, %v", len(c), err)
	}
	c, err := script.Commands(w, operator, 1, nil, 5)
	if err != nil || len(c) != 1 {
		t.Fatalf("another budget makes %d commands, %v", len(c), err)
	}
	if o := step(w, c...); !strings.Contains(failure(o), "used more than 5 steps") {
		t.Errorf("got %s", failure(o))
	}
	// The next reload clears parts that nobody committed.
	n := w.Len()
	step(w, script.Unchecked(w, operator, 50, []script.Module{mod("a.star", ""), mod("b.star", "")}, nil)[:2]...)
	reload(t, w, moves(4))
	if got := w.Len(); got > n+1 { // at most one more wave
		t.Errorf("%d entities, before the reload %d", got, n)
	}
}

func TestANewWorldBeginsWithTheScriptsOfItsGame(t *testing.T) {
	w := newWorld(t, steps, moves(5))
	commands, err := script.Genesis(w)
	if err != nil {
		t.Fatal(err)
	}
	var log [][]byte
	var sums []uint64
	for i := range 30 {
		f := ecs.Frame{Tick: w.Tick() + 1}
		if i == 0 {
			f.Commands = commands
		}
		log = append(log, w.AppendFrame(nil, f))
		sums = append(sums, w.Step(f).Checksum)
	}
	if got := ecs.ResourceOf[score](w).Red; got != 150 {
		t.Errorf("the score is %d, want 5 in each of 30 ticks", got)
	}
	// A binary with other scripts inside replays what the log contains.
	again := newWorld(t, mod("other.star", "x = 1\n"))
	var f ecs.Frame
	for i, record := range log {
		if err := again.DecodeFrame(record, &f); err != nil {
			t.Fatal(err)
		}
		if got := again.Step(f).Checksum; got != sums[i] {
			t.Fatalf("tick %d: %016x, was %016x", i+1, got, sums[i])
		}
	}
	if c, err := script.Genesis(newWorld(t)); c != nil || err != nil {
		t.Errorf("a game without scripts begins with %v, %v", c, err)
	}
}

func TestAWorldWithoutScriptsSaysSo(t *testing.T) {
	w, err := ecs.New(ecs.Game{Name: "plain", TickRate: 30, Setup: func(*ecs.World) {}}, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := script.InForce(w); err != nil || s.Generation != 0 || s.Modules != nil {
		t.Errorf("got %+v, %v", s, err)
	}
	if c, err := script.Genesis(w); c != nil || err != nil {
		t.Errorf("got %v, %v", c, err)
	}
	if _, err := script.DryRun(w, []script.Module{moves(1)}); err == nil || !strings.Contains(err.Error(), "its Setup does not call script.Register") {
		t.Error(err)
	}
}

// If the scripts in force have a function for a system that a new build of the game lacks, the build reports this in
// each tick, and a reload can fix it.
func TestScriptsThatAnotherBuildCannotRun(t *testing.T) {
	game := func(system string) ecs.Game {
		return ecs.Game{Name: "builds", TickRate: 30, Setup: func(w *ecs.World) {
			script.Register(w, script.Config{})
			script.System(w, system)
		}}
	}
	w, err := ecs.New(game("move"), ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if o := reload(t, w, mod("a.star", "def system_move(tick):\n\tpass\n")); failure(o) != "" {
		t.Fatal(failure(o))
	}
	next, err := ecs.Restore(game("walk"), w.AppendSnapshot(nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if o := step(next); failure(o) != "walk: panic: a.star:1:5: no system calls system_move" {
			t.Errorf("got %s", failure(o))
		}
	}
	if o := reload(t, next, mod("a.star", "def system_walk(tick):\n\tpass\n")); failure(o) != "" {
		t.Errorf("got %s", failure(o))
	}
}
