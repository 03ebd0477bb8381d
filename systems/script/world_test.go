package script_test

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/script"
)

// expect runs a body and checks what it puts into score.Red against want.
func expect(t *testing.T, name, body string, want int32) {
	t.Helper()
	w, o := play(t, "red = None\n"+body+"\nresource('score').set('Red', red)")
	if f := failure(o); f != "" {
		t.Errorf("%s: %s", name, f)
		return
	}
	if got := ecs.ResourceOf[score](w).Red; got != want {
		t.Errorf("%s: got %d, want %d", name, got, want)
	}
}

// three systems in one tick: waves spawns the things that move and rules-of-death find.
func world3(t *testing.T, move string) (*ecs.World, ecs.Output) {
	t.Helper()
	w := newWorld(t)
	return w, reload(t, w, mod("systems/a.star", `
def system_waves(tick):
	for i in range(10):
		spawn({"health": {"HP": 10 * i}, "position": {"X": 1.0 * i}, "velocity": {"x": 0.5, "y": -1}})
	for i in range(5):
		spawn({"health": {"HP": 7}, "dead": {}})
	spawn({"arena.mixed": {"I8": -3, "u8": 250, "I64": 1 << 40, "U64": 1 << 63, "F32": 0.5, "on": True, "Name": "ada",
		"List": [1, 2], "Inner": {"A": -1}, "Slots": [{"Item": 9}, {}]}})

def system_move(tick):
	`+strings.ReplaceAll(strings.TrimSpace(move), "\n", "\n\t")+"\n"))
}

func TestQueriesComputeInBulk(t *testing.T) {
	for _, x := range []struct{ body, want string }{
		{"query('health').count()", "15"},
		{"len(query('health', without=['dead']))", "10"},
		{"query('health', 'dead').sum('health.HP')", "35"},
		{"query('health').min('health.HP'), query('health').max('health.HP')", "(0, 90)"},
		{"query('health').where('health.HP', '<', 50).count()", "10"},
		{"query('health').where('health.HP', '>=', 50).count()", "5"},
		{"query('health', where=('health.HP', '==', 7)).count()", "5"},
		{"query('health', where=[('health.HP', '!=', 7), ('health.HP', '>', 20)]).count()", "7"},
		{"query('health').where('health.HP', '<', 49.5).count()", "10"},
		{"query('position').where('position.X', '>', 3).sum('position.X')", "39.0"},
		{"query('position').min('position.X'), query('position').where('position.X', '<', 0).max('position.X')", "(0.0, None)"},
		{"query('position').add('position.X', 1, max=5) or query('position').sum('position.X')", "40.0"},
		{"query('health').add('health.HP', -20, min=0) or query('health').sum('health.HP')", "280"},
		{"query('health').mul('health.HP', 0.5) or query('health').sum('health.HP')", "240"},
		{"query('health').mul('health.HP', 1 << 40) or query('health').max('health.HP')", "2147483647"},
		{"query('health').add('health.HP', -(1 << 40)) or query('health').min('health.HP')", "-2147483648"},
		{"query('arena.mixed').add('arena.mixed.U8', 100) or query('arena.mixed').sum('arena.mixed.U8')", "255"},
		{"query('arena.mixed').add('arena.mixed.I8', -126) or query('arena.mixed').sum('arena.mixed.I8')", "-128"},
		{"query('arena.mixed').mul('arena.mixed.I8', -3) or query('arena.mixed').sum('arena.mixed.I8')", "9"},
		{"query('arena.mixed').add('arena.mixed.U64', 5) or query('arena.mixed').sum('arena.mixed.U64')", "9223372036854775813"},
		{"query('arena.mixed').where('arena.mixed.U64', '>', 5).count()", "1"},
		{"query('arena.mixed').mul('arena.mixed.U64', 2) or query('arena.mixed').max('arena.mixed.U64')", "18446744073709551615"},
		{"query('arena.mixed').mul('arena.mixed.U64', -1) or query('arena.mixed').max('arena.mixed.U64')", "0"},
		{"query('arena.mixed').where('arena.mixed.Name', '==', 'ada').count()", "1"},
		{"query('arena.mixed').where('arena.mixed.On', '!=', True).count()", "0"},
		{"query('arena.mixed').set('arena.mixed.Name', 'bob') or query('arena.mixed').where('arena.mixed.Name', '==', 'bob').count()", "1"},
		{"query('arena.mixed').copy('arena.mixed.F32', 'arena.mixed.U8') or query('arena.mixed').sum('arena.mixed.F32')", "250.0"},
		{"query('arena.mixed').copy('arena.mixed.I8', 'arena.mixed.U8') or query('arena.mixed').sum('arena.mixed.I8')", "127"},
		{"query('arena.mixed').copy('arena.mixed.List[2]', 'arena.mixed.U8') or query('arena.mixed').sum('arena.mixed.List[2]')", "250"},
		{"query('position', 'velocity').integrate('position.X', 'velocity.X', 2) or query('position').sum('position.X')", "55.0"},
		{"query('position', 'velocity').copy('position.X', 'velocity.Y') or query('position').sum('position.X')", "-10.0"},
		{"[e.get('health.HP') for e in query('health')][:3]", "[0, 10, 20]"},
		{"len(query('health').entities(3))", "3"},
		{"query('dead').entities()[0].get('position.X')", "None"},
		{"query('arena.mixed').entities()[0].get('arena.mixed').inner.A", "-1"},
		{"query('arena.mixed').entities()[0].get('arena.mixed').slots[0].item", "9"},
		{"query('arena.mixed').entities()[0].get('arena.mixed').list", "(1, 2, 0)"},
		{"query('arena.mixed').entities()[0].get('arena.mixed').who", "None"},
		{"[e.set('health.HP', 3) for e in query('dead')] and query('dead', 'health').sum('health.HP')", "15"},
		{"query('dead').entities()[0] == query('health', 'dead').entities()[0]", "True"},
		{"tick.now, tick.rate", "(1, 30)"},
		{"tick.rand().float() == tick.rand().float(), tick.rand().int(1), 2.0 <= tick.rand().range(2, 3)", "(True, 0, True)"},
		{"math.sqrt(16.0), math.clamp(7, 0, 5), math.floor(-1.5)", "(4.0, 5.0, -2.0)"},
		{"resource('score').add('Red', 5) or resource('score').add('Red', 1 << 40) or resource('score').get('Red')", "2147483647"},
		{"resource('score').set('best.HP', 5) or resource('score').get('Best.HP')", "5"},
	} {
		w, o := world3(t, "got = str(("+x.body+"))\nif got != "+quote(x.want)+":\n\tfail(got)\nresource('score').set('Blue', 1)")
		if f := failure(o); f != "" {
			t.Errorf("%s: %s, want %s", x.body, f, x.want)
		} else if ecs.ResourceOf[score](w).Blue != 1 {
			t.Errorf("%s: it did not run", x.body)
		}
		if w.Recompute() != o.Checksum {
			t.Errorf("%s: a change was not seen", x.body)
		}
	}
}

func quote(s string) string { return "'" + s + "'" }

func TestScriptsChangeTheWorld(t *testing.T) {
	w, o := world3(t, `
q = query("health", "dead")
q.despawn()
e = query("health", without=["dead"]).entities(1)[0]
e.put("velocity", {"X": 3})
e.remove("position")
e.set("health.HP", 77)
emit("hit", {"Who": e})
born = spawn({"position": {}})
if not born.alive() or born.get("position.X") != None:
	fail("a new entity lives, but is not there yet")
tick.control(7, e)`)
	if f := failure(o); f != "" {
		t.Fatal(f)
	}
	if len(o.Events) != 1 || o.Events[0].Name != "hit" || o.Events[0].Count != 1 {
		t.Errorf("events %v", o.Events)
	}
	chunks := 1
	if got, want := w.Len(), chunks+10+1+1; got != want {
		t.Errorf("%d entities, want %d", got, want)
	}
	for _, table := range w.Tables() {
		for _, e := range table.Entities() {
			if h, ok := ecs.Get[health](w, e); ok && h.HP == 77 {
				if v, ok := ecs.Get[velocity](w, e); !ok || v.X != 3 {
					t.Errorf("velocity %v, %v", v, ok)
				}
				if _, ok := ecs.Get[position](w, e); ok {
					t.Error("the position was not removed")
				}
				return
			}
		}
	}
	t.Error("no entity has 77")
}

func TestFailuresAreContainedAndNamed(t *testing.T) {
	for _, x := range []struct{ body, want string }{
		{"fail('no')", "move: panic: systems/a.star:11:7: system_move: fail: no"},
		{"while True:\n\tpass", "move: panic: systems/a.star:10:1: system_move used more than 200000 steps"},
		{"query('hea' + 'lt')", `no component "healt" (did you mean health?)`},
		{"query('health').sum('health.' + 'hq')", `health: no field "hq" (did you mean HP?)`},
		{"query('health').sum('position.X')", "the query does not ask for position"},
		{"query('health').set('health.HP', 1 << 40)", "HP: 1099511627776 does not fit into i32"},
		{"query('health').set('health.HP', 1.5)", "HP: want an int, got float"},
		{"query('health').add('health.HP', 'x')", "add: want a number, got string"},
		{"query('health').where('health.HP', '=', 1)", `where: "=" is not one of`},
		{"query('health').entities(100000)", "a limit of 100000 is outside 0 to 10000"},
		{"query('arena.mixed').sum('arena.mixed.Name')", "Name is not a number"},
		{"query('arena.mixed').set('arena.mixed.Name', 'x' * 17)", "a string of 17 bytes does not fit into 16"},
		{"query('arena.mixed').set('arena.mixed.List', [1, 2, 3, 4])", "List: want a list of at most 3"},
		{"query('position').integrate('position.X', 'velocity.X')", "the query does not ask for velocity"},
		{"spawn({'hea' + 'th': {}})", `no component "heath" (did you mean health?)`},
		{"spawn({'health': {'H' + 'Q': 1}})", `health: no field "HQ" (did you mean HP?)`},
		{"spawn({'health': 3})", "health: want a dict of its fields, got int"},
		{"spawn({'arena.mixed': {'Inner': 3}})", "Inner has parts: want a dict"},
		{"spawn({'wind.' + 'script': {}})", `component "wind.script" belongs to the host`},
		{"resource('wind.scripts').set('Budget', 5)", "wind.scripts belongs to the host"},
		{"emit('hit', {'Who': 3})", "Who: want an entity or None, got int"},
		{"tick.rnd()", "tick has no .rnd field or method (did you mean .rand?)"},
		{"query('health').summ('health.HP')", "(did you mean .sum?)"},
		{"tick.rand().int(0)", "rand.int: 0 is not positive"},
	} {
		w, o := world3(t, x.body)
		f := failure(o)
		if p := o.Failures[0].Place; !strings.HasPrefix(p, "system_move (systems/a.star:") {
			t.Errorf("%s: the place is %q", x.body, p)
		}
		if !strings.Contains(f, x.want) || strings.Contains(f, "\n") {
			t.Errorf("%s:\ngot  %s\nwant %s", x.body, f, x.want)
		}
		if w.Recompute() != o.Checksum {
			t.Errorf("%s: a change was not seen", x.body)
		}
		if o := step(w); len(o.Failures) != 1 {
			t.Errorf("%s: the next tick has %d failures", x.body, len(o.Failures))
		}
	}
}

func TestChangesOfOneRunAreCapped(t *testing.T) {
	w := newWorld(t)
	source := mod("a.star", "def system_move(tick):\n\tfor i in range(20000):\n\t\tspawn({'dead': {}})\n")
	commands, err := script.Commands(w, operator, 1, []script.Module{source}, script.MaxBudget)
	if err != nil {
		t.Fatal(err)
	}
	if o := step(w, commands...); !strings.Contains(failure(o), "more than 16384 changes in one run") {
		t.Error(failure(o))
	}
	if n := w.Len(); n != 1 {
		t.Errorf("a failed run left %d entities", n)
	}
}

func TestBulkWorkCountsAsSteps(t *testing.T) {
	w := newWorld(t)
	reload(t, w, mod("systems/a.star", "def system_waves(tick):\n\tfor i in range(1000):\n\t\tspawn({'health': {}})\n"))
	step(w)
	o := reload(t, w, mod("systems/a.star", "def system_move(tick):\n\tq = query('health')\n\tfor i in range(3000):\n\t\tq.add('health.HP', 1)\n"))
	if f := failure(o); !strings.Contains(f, "used more than 200000 steps") {
		t.Errorf("3000 × 2000 rows cost nothing: %q", f)
	}
}

func TestCommandsAreHandledByScripts(t *testing.T) {
	w := newWorld(t)
	client := ecs.Source{Kind: ecs.SourceClient, ID: 5}
	join := func(seq uint64) ecs.Command {
		return ecs.NewCommand(w, client, seq, ecs.Join{Identity: ecs.NewText64("ada")})
	}
	if o := step(w, join(1)); failure(o) != "wind.join: no script handles wind.join" {
		t.Errorf("without scripts: %s", failure(o))
	}
	o := reload(t, w, mod("commands.star", `
def handle_wind_join(tick, cmd):
	if cmd.identity != "ada" or cmd.value.identity != "ada" or cmd.entity != None or cmd.source != "client":
		cmd.reject("who is " + cmd.identity)
	tick.control(cmd.session, spawn({"health": {"HP": 1}}))

def handle_arena_choose(tick, cmd):
	if cmd.value.hero > 5:
		cmd.reject("there is no hero %d" % cmd.value.hero)
	if cmd.value.hero == 5:
		fail("five")
	cmd.entity.set("health.HP", cmd.value.Hero * 10 + int(cmd.value.at.x))
`))
	if failure(o) != "" {
		t.Fatal(failure(o))
	}
	if o := step(w, join(2)); failure(o) != "" {
		t.Fatal(failure(o))
	}
	pick := func(seq uint64, hero uint8) ecs.Command {
		c := choose{Hero: hero}
		c.At.X = 2.5
		return ecs.NewCommand(w, client, seq, c)
	}
	s, _ := w.Session(5)
	if o := step(w, pick(3, 3)); failure(o) != "" {
		t.Fatal(failure(o))
	}
	if h, ok := ecs.Get[health](w, s.View); !ok || h.HP != 32 {
		t.Errorf("HP %v, %v", h, ok)
	}
	o = step(w, pick(4, 6))
	if failure(o) != "arena.choose: there is no hero 6" || len(o.Replies) != 1 || o.Replies[0].Reason != "there is no hero 6" || !o.Failures[0].Rejected {
		t.Errorf("got %s, %v", failure(o), o.Replies)
	}
	o = step(w, pick(5, 5))
	if failure(o) != "arena.choose: panic: commands.star:11:9: handle_arena_choose: fail: five" || o.Failures[0].Rejected {
		t.Errorf("got %s", failure(o))
	}
	// A reload removes the handlers.
	reload(t, w, mod("commands.star", "x = 1\n"))
	if o := step(w, pick(6, 1)); failure(o) != "arena.choose: no script handles arena.choose" {
		t.Errorf("got %s", failure(o))
	}
}

func TestMathIsTheSameEverywhere(t *testing.T) {
	expect(t, "sin", "red = int(math.sin(1.0) * 1000000)", 841470)
	expect(t, "atan2", "red = int(math.atan2(1, 2) * 1000000)", 463647)
}

func TestPrintGoesToTheHost(t *testing.T) {
	var got []string
	g := ecs.Game{Name: "prints", TickRate: 30, Setup: func(w *ecs.World) {
		script.Register(w, script.Config{Print: func(module, text string) { got = append(got, module+": "+text) }})
		script.System(w, "move")
	}}
	w, err := ecs.New(g, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	reload(t, w, mod("a.star", "def system_move(tick):\n\tprint('tick', tick.now)\n"))
	if len(got) != 1 || got[0] != "a.star: tick 1" {
		t.Errorf("got %q", got)
	}
}

// TestHandlersSeeWhatASilentClientLeaves: its last input, repeated, and then the neutral one.
func TestHandlersSeeWhatASilentClientLeaves(t *testing.T) {
	type aim struct{ Way int32 }
	w, err := ecs.New(ecs.Game{Name: "silence", TickRate: 30, Setup: func(w *ecs.World) {
		script.Register(w, script.Config{})
		ecs.Resource[score](w, "score")
		script.Handle[aim](w, "aim", ecs.Sampled)
	}}, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if f := failure(reload(t, w, mod("commands.star", `
def handle_aim(tick, cmd):
	resource("score").set("Red", cmd.value.way)
	resource("score").set("Blue", (1 if cmd.repeated else 0) + (2 if cmd.neutral else 0))
`))); f != "" {
		t.Fatal(f)
	}
	source := ecs.Source{Kind: ecs.SourceClient, ID: 7}
	step(w, ecs.NewCommand(w, source, 1, ecs.Join{Identity: ecs.NewText64("ann")}))
	for _, c := range []struct {
		what      string
		way, blue int32
		flags     uint8
	}{
		{"an input", 5, 0, 0},
		{"a repeat", 5, 1, ecs.FlagRepeated},
		{"the neutral value", 0, 3, ecs.FlagRepeated | ecs.FlagNeutral},
	} {
		input := ecs.NewCommand(w, source, 1, aim{c.way})
		input.Flags = c.flags
		if f := failure(step(w, input)); f != "" {
			t.Fatalf("%s: %s", c.what, f)
		}
		if got := ecs.ResourceOf[score](w); got.Red != c.way || got.Blue != c.blue {
			t.Errorf("%s: the handler saw %d and %d, want %d and %d", c.what, got.Red, got.Blue, c.way, c.blue)
		}
	}
}
