package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/reload"
	"github.com/ferris1/wind/systems/script"
)

// asked is a request for the four numbers of the scripts in testdata.
func asked(int32) proto.Message { return &speakpb.SpeakOnWorldRequest{} }

// Modules of testdata's scripts, below game.
const (
	answerModule = "handlers_client/answer.star"
	numberModule = "lib/number.star"
)

// editor saves scripts of a folder.
type editor struct {
	t   *testing.T
	dir string
}

func (e editor) path(module string) string { return filepath.Join(e.dir, "game", module) }

// save replaces a module in one step, as most editors do.
func (e editor) save(module, source string) (at time.Time) {
	e.t.Helper()
	whole := filepath.Join(e.t.TempDir(), "saved")
	if err := os.WriteFile(whole, []byte(source), 0o600); err != nil {
		e.t.Fatal(err)
	}
	at = time.Now()
	if err := os.Rename(whole, e.path(module)); err != nil {
		e.t.Fatal(err)
	}
	return at
}

// edit saves a module with old replaced by new, everywhere.
func (e editor) edit(module, old, new string) (at time.Time) {
	e.t.Helper()
	b, err := os.ReadFile(e.path(module))
	if err != nil {
		e.t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		e.t.Fatalf("%s holds no %q", module, old)
	}
	return e.save(module, strings.ReplaceAll(string(b), old, new))
}

// numbers are what an answer holds: own/own content/content.
func numbers(t *testing.T, answer []byte) string {
	t.Helper()
	var m speakpb.SpeakOnWorldResponse
	if err := proto.Unmarshal(answer, &m); err != nil {
		t.Fatal(err)
	}
	return m.Name + " " + m.Content
}

// TestSavedHandlersComeIntoForceUnderLoad saves changed scripts while clients call them, and then scripts that are no good.
// No request fails, no answer is of two generations, and what is no good changes nothing and says where.
func TestSavedHandlersComeIntoForceUnderLoad(t *testing.T) {
	e := editor{t, copyScripts(t, testScripts)}
	dev := wind(t, "dev", "--game", "speak", "--data", filepath.Join(t.TempDir(), "data"), "--scripts", e.dir, "--udp", "", "--tcp", "127.0.0.1:0", "--http", "")
	c := newCrowd(t, []string{dev.listens(`(\S+)\s+TCP\b`)}, 20*time.Millisecond, asked)
	for range 100 {
		c.add()
	}
	c.all("plays", c.players, func(p *player) bool { return p.answered(5) })

	generations := []string{"1/1 1/1", "2/2 1/1", "2/2 2/2"}
	saved := []time.Time{e.edit(answerModule, "return 1", "return 2")}
	c.all("sees the new handler", c.players, func(p *player) bool { return p.last(t) != generations[0] })
	saved = append(saved, e.edit(numberModule, "NUMBER = 1", "NUMBER = 2"))
	c.all("sees the new number", c.players, func(p *player) bool { return p.last(t) != generations[1] })

	for _, bad := range []struct{ name, source, place, text string }{
		{"syntax", "def Handler_CreateRoleRequest(client, request):\n    return 1 +* 2\n", `bad_syntax\.star:2:15`, "got '\\*'"},
		{"name", "def Handler_CreateRoleRequest(client, request):\n    return CreateRoleRespons()\n", `bad_name\.star:2:12`, "CreateRoleResponse"},
		{"loop", "def spin():\n    for i in range(1 << 60):\n        pass\n\nspin()\n", `bad_loop\.star:\d+:\d+`, "steps"},
	} {
		module := "handlers_client/bad_" + bad.name + ".star"
		e.save(module, bad.source)
		place := regexp.MustCompile(`cannot reload.*` + bad.place + `.*` + bad.text)
		dev.until("says where "+module+" is wrong", func() bool { return place.MatchString(dev.log()) })
		if err := os.Remove(e.path(module)); err != nil {
			t.Fatal(err)
		}
	}
	enough := long(100, 1500)
	c.all("is still answered", c.players, func(p *player) bool { return p.answered(enough) })
	c.stop()

	c.unhurt("while scripts were reloaded", c.players, time.Time{})
	total := 0
	first := map[string]time.Time{}
	for _, p := range c.players {
		at := 0
		for i, o := range p.outcomes {
			total++
			if o.err != nil {
				continue
			}
			switch n := numbers(t, o.answer); {
			case n == generations[at]:
			case at+1 < len(generations) && n == generations[at+1]:
				at++
			default:
				t.Fatalf("%s, request %d: the answer is %s after %s", p.name, i+1, n, generations[at])
			}
			if f := first[generations[at]]; f.IsZero() || o.told.Before(f) {
				first[generations[at]] = o.told
			}
		}
	}
	for i, at := range saved {
		took := first[generations[i+1]].Sub(at)
		t.Logf("answer %s came %v after the save", generations[i+1], took.Round(time.Millisecond))
		if took > 10*time.Second {
			t.Errorf("that is too late")
		}
	}
	t.Logf("%d requests of %d clients", total, len(c.players))
	if total < 50*len(c.players) {
		t.Errorf("%d requests are too few to prove anything", total)
	}
}

// last is the newest answer's numbers. The lock is held.
func (p *player) last(t *testing.T) string {
	t.Helper()
	for i := len(p.outcomes) - 1; i >= 0; i-- {
		if o := p.outcomes[i]; !o.told.IsZero() && o.err == nil {
			return numbers(t, o.answer)
		}
	}
	return ""
}

// TestEndlessHandlerIsEnded has a handler loop forever: its caller is told, others go on.
func TestEndlessHandlerIsEnded(t *testing.T) {
	e := editor{t, copyScripts(t, testScripts)}
	e.save("handlers_client/spin.star", "def Handler_PlayerMoveRequest(client, request):\n    for i in range(1 << 60):\n        pass\n")
	dev := wind(t, "dev", "--game", "speak", "--data", filepath.Join(t.TempDir(), "data"), "--scripts", e.dir, "--udp", "", "--tcp", "127.0.0.1:0", "--http", "")
	addr := dev.listens(`(\S+)\s+TCP\b`)
	c := newCrowd(t, []string{addr}, 50*time.Millisecond, asked)
	for range 10 {
		c.add()
	}
	c.all("plays", c.players, func(p *player) bool { return p.answered(2) })
	spinner := newCrowd(t, []string{addr}, 50*time.Millisecond, func(int32) proto.Message { return &speakpb.PlayerMoveRequest{} })
	spinner.names, spinner.flying = "spinner", 1 // a slow machine must not work off a queue of them
	p := spinner.add()
	spinner.all("is told", spinner.players, func(p *player) bool {
		return len(p.outcomes) > 0 && !p.outcomes[0].told.IsZero()
	})
	spinner.stop()
	if o := p.outcomes[0]; o.err == nil || !strings.Contains(o.err.Text, "steps") {
		t.Errorf("the caller of an endless handler was told: %v", o.err)
	}
	ended := time.Now()
	c.all("goes on", c.players, func(p *player) bool { _, ok := p.since(ended); return ok })
	c.stop()
	c.unhurt("beside an endless handler", c.players, time.Time{})
	if where := `spin\.star:\d+:\d+`; !regexp.MustCompile(where).MatchString(dev.log()) {
		t.Errorf("the log does not say %s", where)
	}
}

// TestReloadReachesAllInstancesOrNone reloads three processes with the verb.
func TestReloadReachesAllInstancesOrNone(t *testing.T) {
	games := []string{"game-1", "game-2", "game-3"}
	s := startServices(t, 0, "game-1", "game-2")
	e := editor{t, copyScripts(t, testScripts)}
	e.save("lib/extra.star", "EXTRA = 7\n")
	s.scripts = copyScripts(t, testScripts) // with one more, so that it does not follow what the others reload
	editor{t, s.scripts}.save("lib/odd.star", "ODD = 1\n")
	s.game("game-3").until("is in the directory", func() bool { return s.link.Directory.Alive("game", "game-3") })

	verb := func(wantExit int, modules ...string) *process {
		t.Helper()
		return s.reload(e.dir, wantExit, modules...)
	}
	all := func(want string) {
		t.Helper()
		for _, id := range games {
			s.answers(id, want)
		}
	}
	all("1/1 1/1")

	former := string(must(os.ReadFile(e.path(numberModule))))
	e.edit(numberModule, "NUMBER = 1", "NUMBER = 5")
	begun := time.Now()
	verb(0, numberModule)
	t.Logf("a reload of three instances took %v, the verb's start included", time.Since(begun).Round(time.Millisecond))
	all("1/1 5/5")

	e.save(numberModule, "NUMBER = = 6\n")
	refused := verb(1, numberModule)
	for _, id := range games {
		if !regexp.MustCompile(id + `: \S*number\.star:1:10`).MatchString(refused.log()) {
			t.Errorf("what is refused by %s does not say where:\n%s", id, refused.log())
		}
	}
	all("1/1 5/5")

	// Only game-1 and game-2 get the library that the new handler loads.
	e.save(numberModule, former)
	extra := append([]byte("load(\"lib/extra.star\", \"EXTRA\")\n"), must(os.ReadFile(e.path(answerModule)))...)
	e.save(answerModule, strings.ReplaceAll(string(extra), "return 1", "return EXTRA"))
	if _, err := reload.Run(t.Context(), s.link.Bus.Admin, reload.Config{
		Type: "game", Instances: games[:2], Modules: []script.Module{{Name: "lib/extra.star", Source: []byte("EXTRA = 7\n")}},
	}); err != nil {
		t.Fatal(err)
	}
	refused = verb(1, answerModule)
	if !strings.Contains(refused.log(), "1 of the 3 instances") || !regexp.MustCompile(`game-3: \S*answer\.star:\d+:\d+`).MatchString(refused.log()) {
		t.Errorf("what one instance refuses does not say where:\n%s", refused.log())
	}
	all("1/1 5/5")

	verb(0, numberModule) // the former source: a rollback
	all("1/1 1/1")
}

// reload runs the verb with the scripts of a folder.
func (s *services) reload(dir string, wantExit int, modules ...string) *process {
	s.t.Helper()
	return run(s.t, wantExit, nil, append([]string{"reload", "game", "--scripts", dir, "--game", "speak", "--nats", s.nats, "--etcd", s.etcd}, modules...)...)
}

// said is what an instance answers by the scripts of testdata.
func (s *services) said(id string) (string, error) {
	answer, err := s.ask(id, "SpeakOnWorldRequest")
	var m speakpb.SpeakOnWorldResponse
	if err == nil {
		err = protojson.Unmarshal(answer, &m)
	}
	return m.Name + " " + m.Content, err
}

func (s *services) answers(id, want string) {
	s.t.Helper()
	if got, err := s.said(id); err != nil || got != want {
		s.t.Errorf("%s answers %s (%v), want %s", id, got, err, want)
	}
}

// TestInstancesThatStartLaterRunWhatWasReloaded: an instance that comes with the scripts that a reload has replaced runs
// those of the reload; one that comes with others runs its own until the next reload.
func TestInstancesThatStartLaterRunWhatWasReloaded(t *testing.T) {
	s := startServices(t, 0, "game-1", "game-2")
	first, other := s.scripts, editor{t, copyScripts(t, testScripts)}
	other.edit(numberModule, "NUMBER = 1", "NUMBER = 9")
	start := func(id, scripts string) *process {
		t.Helper()
		s.scripts = scripts
		p := s.game(id)
		p.until("is in the directory", func() bool { return s.link.Directory.Alive("game", id) })
		return p
	}
	e := editor{t, copyScripts(t, testScripts)}
	e.edit(numberModule, "NUMBER = 1", "NUMBER = 5")
	s.reload(e.dir, 0, numberModule)
	start("game-3", first).until("says what it runs", func() bool {
		return strings.Contains(s.games["game-3"].log(), "not the scripts that this instance came with")
	})
	start("game-4", other.dir)
	for id, want := range map[string]string{"game-1": "1/1 5/5", "game-3": "1/1 5/5", "game-4": "1/1 9/9"} {
		s.answers(id, want)
	}

	// One module, in instances of two versions: each keeps the rest of its own.
	e.edit(answerModule, "return 1", "return 3")
	s.reload(e.dir, 0, answerModule)
	start("game-8", first)
	start("game-9", other.dir)
	for id, want := range map[string]string{"game-1": "3/3 5/5", "game-4": "3/3 9/9", "game-8": "3/3 5/5", "game-9": "3/3 9/9"} {
		s.answers(id, want)
	}
	e.edit(answerModule, "return 3", "return 1")

	e.edit(numberModule, "NUMBER = 5", "NUMBER = 6")
	s.reload(e.dir, 0)
	start("game-5", first)
	start("game-6", other.dir)
	for id := range s.games {
		s.answers(id, "1/1 6/6")
	}

	// A reload that reached game-1 alone, as when the others start just then: they follow.
	e.edit(numberModule, "NUMBER = 6", "NUMBER = 7")
	if _, err := reload.Run(t.Context(), s.link.Bus.Admin, reload.Config{
		Type: "game", Instances: []string{"game-1"}, Modules: []script.Module{{Name: numberModule, Source: must(os.ReadFile(e.path(numberModule)))}},
	}); err != nil {
		t.Fatal(err)
	}
	for id, p := range s.games {
		want := "1/1 7/7"
		if id == "game-4" || id == "game-6" || id == "game-9" {
			want = "1/1 6/6" // of another version: the reload reached none of them
		}
		p.until("runs what it missed", func() bool { got, err := s.said(id); return err == nil && got == want })
	}

	s.reload(first, 0) // a rollback
	start("game-7", first)
	for id := range s.games {
		s.answers(id, "1/1 1/1")
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(fmt.Sprint("a file of the test: ", err))
	}
	return b
}
