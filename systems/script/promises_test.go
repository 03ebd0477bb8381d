package script_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/ecstest"
	"github.com/ferris1/wind/systems/script"
)

var seedFlag = flag.Uint64("script.seed", 0, "seed of the random reloads; 0 takes a new one")

// The kit's own traffic: random commands, including parts and commits.
func TestAGameOfScriptsKeepsWindsPromises(t *testing.T) {
	c := ecstest.Config{Ticks: 150}
	ecstest.Setup(t, arena(), c)
	ecstest.Replay(t, arena(), c)
	ecstest.Restore(t, arena(), c)
	ecstest.Apply(t, arena(), c)
	ecstest.Recompute(t, arena(), c)
	ecstest.Fuzz(t, arena(), c)
}

// reloads makes frames that include reloads: good ones, in one tick or over several, refused ones, foreign ones,
// rollbacks.
type reloads struct {
	t       *testing.T
	r       *rand.Rand
	seq     uint64
	waiting []ecs.Command // in order
	done    int
}

func (x *reloads) frame(w *ecs.World) ecs.Frame {
	f := ecs.Frame{Tick: w.Tick() + 1}
	if len(x.waiting) == 0 && x.r.IntN(8) == 0 {
		x.waiting = x.reload(w)
		x.seq += uint64(len(x.waiting))
	}
	n := min(len(x.waiting), 1+x.r.IntN(4))
	f.Commands, x.waiting = slices.Clone(x.waiting[:n]), x.waiting[n:]
	if w.Tick() == 1 || x.r.IntN(20) == 0 {
		id := uint64(1 + x.r.IntN(4))
		if _, ok := w.Session(id); !ok {
			f.Commands = append(f.Commands, ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceClient, ID: id}, f.Tick, ecs.Join{Identity: ecs.NewText64("ada")}))
		}
	}
	w.EachSession(func(s ecs.Session) bool {
		if x.r.IntN(4) == 0 {
			c := choose{Hero: uint8(x.r.IntN(8))}
			c.At.X = x.r.Float64() * 10
			f.Commands = append(f.Commands, ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceClient, ID: s.ID}, f.Tick, c))
		}
		return true
	})
	w.Order(f.Tick, f.Commands)
	return f
}

func (x *reloads) reload(w *ecs.World) []ecs.Command {
	x.done++
	x.seq++
	players := mod("players.star", fmt.Sprintf(`
def handle_wind_join(tick, cmd):
	tick.control(cmd.session, spawn({"position": {}, "velocity": {"X": 0.1}, "health": {"HP": 200}, "arena.mixed": {"Name": cmd.identity}}))

def handle_arena_choose(tick, cmd):
	if cmd.value.hero == 6:
		cmd.reject("no hero %%d" %% cmd.value.hero)
	if cmd.entity == None or not cmd.entity.has("velocity"):
		fail("seq %%d has nobody" %% cmd.seq)
	cmd.entity.set("velocity.X", math.sin(cmd.value.at.x) * %d)
`, x.r.IntN(5)))
	waves := mod("waves.star", fmt.Sprintf(`
def system_rules_of_death(tick):
	query("health", without=["dead"]).add("health.HP", -%d, min=0)
	down = query("health").where("health.HP", "==", 0)
	for e in down:
		if tick.rand(e).bool():
			e.put("dead", {})
			emit("hit", {"Who": e})
	query("dead").despawn()
	if tick.now %% 11 == 0:
		query("health").sum("position.X")
	if tick.now %% 13 == 0:
		while True:
			resource("score").add("Blue", 1)
`, 1+x.r.IntN(5)))
	all := []script.Module{steps, moves(1 + x.r.IntN(3)), players, waves}
	all[1].Source = bytes.ReplaceAll(all[1].Source, []byte("def system_rules_of_death"), []byte("def unused"))
	status, err := script.InForce(w)
	if err != nil {
		x.t.Fatal(err)
	}
	if status.Generation == 0 {
		return x.checked(w, all)
	}
	some := all[x.r.IntN(len(all)):]
	switch x.r.IntN(8) {
	case 0: // the world refuses it: file and line
		return script.Unchecked(w, operator, x.seq, []script.Module{mod("waves.star", "def system_move(tick:\n")}, nil)
	case 1:
		return script.Unchecked(w, operator, x.seq, []script.Module{mod("waves.star", "while True: pass\n")}, nil)
	case 2: // a reload whose parts do not all arrive
		c := script.Unchecked(w, operator, x.seq, some, nil)
		return c[1:]
	case 3:
		return script.Unchecked(w, ecs.Source{Kind: ecs.SourceService, ID: 2}, x.seq, some, nil)
	case 4: // a big one
		big := mod("big.star", fmt.Sprintf("x = %q\n", bytes.Repeat([]byte{byte('a' + x.r.IntN(26))}, x.r.IntN(30_000))))
		return x.checked(w, append(some, big))
	}
	return x.checked(w, some)
}

func (x *reloads) checked(w *ecs.World, modules []script.Module) []ecs.Command {
	c, err := script.Commands(w, operator, x.seq, modules, uint64(20_000+x.r.IntN(3)))
	if err != nil {
		x.t.Fatal(err)
	}
	return c
}

// A world that reloads its scripts some forty times replays from its frames, continues from a snapshot of any tick, and
// can be rebuilt from its deltas. Its outputs, including script failures, are the same each time.
func TestReloadsReplayRestoreAndApply(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-script.seed=%d", seed)
	x := &reloads{t: t, r: rand.New(rand.NewPCG(seed, 1))}
	live, beside, follower := newWorld(t), newWorld(t), newWorld(t)
	restored := map[string]*ecs.World{}
	var frame ecs.Frame
	told := map[string]int{}
	for range 400 {
		f := x.frame(live)
		record := live.AppendFrame(nil, f)
		out := live.Step(f).Clone()
		for _, e := range out.Failures {
			told[e.System]++
		}
		for _, e := range out.Events {
			told["event "+e.Name] += e.Count
		}
		if live.Recompute() != out.Checksum {
			t.Fatalf("tick %d: a change was not seen", f.Tick)
		}
		if err := beside.DecodeFrame(record, &frame); err != nil {
			t.Fatal(err)
		}
		same(t, "the replayed world", out, beside.Step(frame))
		for name, w := range restored {
			same(t, "the world restored at tick "+name, out, w.Step(f))
			if x.r.IntN(5) == 0 && len(restored) > 3 {
				delete(restored, name)
			}
		}
		if err := follower.Apply(out.Delta.AppendTo(nil)); err != nil {
			t.Fatalf("tick %d: %v", f.Tick, err)
		}
		snapshot := live.AppendSnapshot(nil)
		if !bytes.Equal(snapshot, follower.AppendSnapshot(nil)) {
			t.Fatalf("tick %d: the deltas make a different world", f.Tick)
		}
		again, err := ecs.Restore(arena(), snapshot)
		if err != nil {
			t.Fatal(err)
		}
		restored[fmt.Sprint(f.Tick)] = again
		if x.r.IntN(30) == 0 { // the world that only applied deltas takes over
			live, follower = follower, live
		}
	}
	status, err := script.InForce(live)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d reloads, generation %d, %v", x.done, status.Generation, told)
	if status.Generation < 10 || x.done < 20 || told["wind.script.commit"] == 0 || told["rules-of-death"] == 0 || told["event hit"] == 0 || told["arena.choose"] == 0 {
		t.Errorf("too little happened: %d reloads, generation %d, %v", x.done, status.Generation, told)
	}
}

func same(t *testing.T, who string, want, got ecs.Output) {
	t.Helper()
	if got.Checksum != want.Checksum {
		t.Fatalf("tick %d: %s has checksum %016x, want %016x", want.Tick, who, got.Checksum, want.Checksum)
	}
	if !slices.Equal(got.Failures, want.Failures) {
		t.Fatalf("tick %d: %s failed otherwise:\n%v\n%v", want.Tick, who, got.Failures, want.Failures)
	}
	if !slices.Equal(got.Replies, want.Replies) || !bytes.Equal(got.Delta.AppendTo(nil), want.Delta.AppendTo(nil)) {
		t.Fatalf("tick %d: %s has other replies or another delta", want.Tick, who)
	}
}

// TestWhatIsTooLargeFailsAlikeOnReplay: a script that would take the node down fails its system, the tick continues,
// and another world that gets the same commands reaches the same state and reports the same errors.
func TestWhatIsTooLargeFailsAlikeOnReplay(t *testing.T) {
	for body, want := range map[string]string{
		"x = 12345\nfor i in range(40):\n\tx *= x": "move: panic: systems/a.star:4:7: system_move: * makes an integer of more than 8192 bits",
		"x = [0] * 1000000000":                     "move: panic: systems/a.star:2:11: system_move: * makes more than 1048576 elements",
		"x = 'x' * 10000000000":                    "move: panic: systems/a.star:2:11: system_move: * makes a text of more than 4194304 bytes",
		"x = [0]\nwhile True:\n\tx = x + x":        "move: panic: systems/a.star:4:11: system_move used more than 200000 steps",
	} {
		t.Run(body, func(t *testing.T) {
			var sums [2]uint64
			for i := range sums {
				w, o := play(t, body)
				if failure(o) != want {
					t.Errorf("%q, want %q", failure(o), want)
				}
				sums[i] = step(w).Checksum
			}
			if sums[0] != sums[1] {
				t.Errorf("checksums %x and %x", sums[0], sums[1])
			}
		})
	}
}

// TestAScriptThatNeverStopsPrintingIsLimited checks the limit in each second of the simulation.
func TestAScriptThatNeverStopsPrintingIsLimited(t *testing.T) {
	var lines []string
	game := ecs.Game{Name: "printing", TickRate: 30, Setup: func(w *ecs.World) {
		script.Register(w, script.Config{
			Modules: []script.Module{mod("systems/a.star", "def system_move(tick):\n\tfor i in range(1000):\n\t\tprint('x' * 5000)\n")},
			Print:   func(_, text string) { lines = append(lines, text) },
		})
		script.System(w, "move")
	}}
	w, err := ecs.New(game, ecs.Config{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := script.Genesis(w)
	if err != nil {
		t.Fatal(err)
	}
	step(w, genesis...)
	for range 65 {
		step(w)
	}
	if len(lines) < 64 || len(lines) > 4*64 {
		t.Fatalf("%d lines in two seconds", len(lines))
	}
	if len(lines[0]) > 1100 || !strings.Contains(lines[63], "lines are dropped") {
		t.Errorf("%d bytes, then %q", len(lines[0]), lines[63])
	}
}
