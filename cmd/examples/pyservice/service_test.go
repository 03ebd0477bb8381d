// Package pyservice_test tests the service in Python: service.py and the library beside it. README.md says how to run it.
package pyservice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/gen"
	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
)

const cluster = "dev"

// python returns the interpreter: WIND_PYTHON, or python3. Without one it skips the test or, with WIND_PYTHON=must, fails it.
func python(t *testing.T) string {
	t.Helper()
	name := os.Getenv("WIND_PYTHON")
	must := name != ""
	if name == "" || name == "must" {
		name = "python3"
	}
	err := exec.Command(name, "-c", "import sys; sys.exit(sys.version_info < (3, 9))").Run()
	switch {
	case err == nil:
		return name
	case must:
		t.Fatalf("%s is not Python 3.9 or newer: %v", name, err)
	default:
		t.Skipf("%s is not Python 3.9 or newer: %v", name, err)
	}
	return ""
}

// command returns a run of Python with a limit of three minutes.
func command(t *testing.T, interpreter string, arguments ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, interpreter, arguments...)
	c.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	return c
}

// infra are real servers, as wind infra starts them.
type infra struct {
	nats, etcd string
	bus        *bus.Bus
	directory  *discovery.Directory
}

func startInfra(t *testing.T) *infra {
	t.Helper()
	server, err := jetstream.StartServer(jetstream.ServerConfig{Dir: t.TempDir(), User: "node", Password: "a word/with@signs"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	keys, err := etcd.StartServer(t.Context(), etcd.ServerConfig{Dir: t.TempDir(), Development: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	i := &infra{nats: "nats://node:a%20word%2Fwith%40signs@" + server.Addr(), etcd: "http://" + keys.Addr()}
	conn, err := jetstream.Connect(t.Context(), jetstream.ConnectConfig{URL: i.nats})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if i.bus, err = bus.Open(bus.Config{Conn: conn.NATS(), Cluster: cluster}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.bus.Close)
	client, err := etcd.Dial(t.Context(), i.etcd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	services, err := etcd.Services(client, cluster)
	if err != nil {
		t.Fatal(err)
	}
	if i.directory, err = discovery.Follow(t.Context(), services, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.directory.Close)
	return i
}

// process is an instance of the service.
type process struct {
	id   string
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan error
}

// start starts an instance and waits until the directory has it.
func (i *infra) start(t *testing.T, interpreter, id string) *process {
	t.Helper()
	return i.run(t, interpreter, id, "service.py", "--nats", i.nats, "--etcd", i.etcd, "--id", id)
}

// run runs Python as an instance of translate and waits until the directory has it.
func (i *infra) run(t *testing.T, interpreter, id string, arguments ...string) *process {
	t.Helper()
	p := &process{id: id, cmd: command(t, interpreter, arguments...), done: make(chan error, 1)}
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // has already ended unless the test failed
		if t.Failed() {
			t.Logf("%s: %v, %v\n%s", id, <-p.done, p.cmd.ProcessState, p.log.String())
		}
	})
	i.eventually(t, id+" is up", func() bool { return i.directory.Alive("translate", id) })
	return p
}

// end sends a signal and waits until the process ends.
func (p *process) end(t *testing.T, s syscall.Signal) error {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		p.done <- err // for the clean-up
		return err
	case <-time.After(time.Minute):
		t.Fatalf("%s did not end", p.id)
	}
	return nil
}

func (i *infra) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// translate sends a request as a gateway would.
func (i *infra) translate(ctx context.Context, instance, player, text string) (string, error) {
	payload, err := json.Marshal(map[string]string{"text": text, "language": "de"})
	if err != nil {
		return "", err
	}
	r, err := i.bus.Call(ctx, rpc.Address{Type: "translate", ID: instance}, rpc.Request{
		Message: "TranslateRequest", Format: rpc.JSON, Payload: payload, Player: player, Session: "gw/1", From: "gateway/gw", Timeout: 30 * time.Second,
	})
	if err != nil {
		return "", err
	}
	var answer struct{ Text string }
	if r.Message != "TranslateResponse" || r.Format != rpc.JSON {
		return "", fmt.Errorf("answer %+v", r)
	}
	return answer.Text, json.Unmarshal(r.Payload, &answer)
}

// TestPython runs the Python tests against real servers.
func TestPython(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	c := command(t, interpreter, "-W", "error::ResourceWarning", "-m", "unittest", "-v")
	c.Env = append(c.Env, "WIND_NATS="+i.nats, "WIND_ETCD="+i.etcd)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text := string(out); !strings.Contains(text, "test_micro_knows_it") || strings.Contains(text, "name no servers") {
		t.Errorf("not all tests ran:\n%s", text)
	}
}

// TestServiceInPythonIsCalledLikeAnyOther finds the service in the directory and calls it through the bus.
func TestServiceInPythonIsCalledLikeAnyOther(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	p := i.start(t, interpreter, "translate-1")
	in, _ := i.directory.Instance("translate", "translate-1")
	if in.Language != "python" || in.State != discovery.Up || len(in.Formats) != 1 || in.Formats[0] != "json" ||
		len(in.Methods) != 1 || in.Methods[0] != (discovery.Method{Name: "TranslateRequest", ID: 1201, Answer: 1202, Public: true}) {
		t.Errorf("registered %+v", in)
	}
	if id, ok := i.directory.Pick("translate", "alice"); !ok || id != "translate-1" {
		t.Errorf("picked %q, %v", id, ok)
	}
	if text, err := i.translate(t.Context(), "translate-1", "alice", "Good  Game"); err != nil || text != "gutes Spiel" {
		t.Errorf("translated %q, %v", text, err)
	}
	var failed *rpc.Error
	if _, err := i.translate(t.Context(), "", "alice", "xyzzy"); !errors.As(err, &failed) || failed.Code != rpc.NotFound || failed.Maybe {
		t.Errorf("an unknown phrase: %v", err)
	}
	pushed := make(chan rpc.Push, 1)
	if err := i.bus.Players(func(_ string, p rpc.Push) { pushed <- p }); err != nil {
		t.Fatal(err)
	}
	learned, err := i.bus.Call(t.Context(), rpc.Address{Type: "translate"}, rpc.Request{
		Message: "S_LearnRequest", Format: rpc.JSON, From: "game/game-1", Payload: []byte(`{"text":"run","language":"de","translation":"lauf"}`),
	})
	if err != nil || string(learned.Payload) != `{"known":6}` {
		t.Errorf("learned %s, %v", learned.Payload, err)
	}
	if push := <-pushed; push.Message != "PhraseLearned" || push.ID != 1203 || push.Format != rpc.JSON {
		t.Errorf("pushed %+v", push)
	}
	i.eventually(t, "its player is reported", func() bool { in, _ := i.directory.Instance("translate", "translate-1"); return in.Players == 1 })
	if _, err := i.bus.Admin(t.Context(), "translate", "translate-1", "prepare", nil); err == nil || !strings.Contains(err.Error(), "a Python service has no scripts") {
		t.Errorf("prepared: %v", err)
	}
	if _, err := i.bus.Admin(t.Context(), "translate", "translate-1", "drain", nil); err != nil {
		t.Errorf("drained: %v", err)
	}
	i.eventually(t, "it drains", func() bool {
		in, _ := i.directory.Instance("translate", "translate-1")
		return in.State == discovery.Draining
	})
	if id, ok := i.directory.Pick("translate", "bob"); ok {
		t.Errorf("%s drains, and got bob", id)
	}
	if _, err := i.bus.Admin(t.Context(), "translate", "translate-1", "undrain", nil); err != nil {
		t.Errorf("undrained: %v", err)
	}
	i.eventually(t, "it has players again", func() bool { id, ok := i.directory.Pick("translate", "bob"); return ok && id == "translate-1" })
	if text, err := i.translate(t.Context(), "", "bob", "hello"); err != nil || text != "hallo" {
		t.Errorf("translated %q, %v", text, err)
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v", err)
	}
	i.eventually(t, "it left", func() bool { return !i.directory.Alive("translate", "translate-1") })
}

// TestSecondServiceOfOneNameDoesNotRun: an instance started under a running one's name ends and says what to do.
func TestSecondServiceOfOneNameDoesNotRun(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	i.start(t, interpreter, "translate-1")
	out, err := command(t, interpreter, "service.py", "--nats", i.nats, "--etcd", i.etcd, "--id", "translate-1").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "instance translate-1 of service translate already runs on node translate-1 since") {
		t.Errorf("it ends with %v:\n%s", err, out)
	}
	if text, err := i.translate(t.Context(), "translate-1", "alice", "hello"); err != nil || text != "hallo" {
		t.Errorf("the first one: %q, %v", text, err)
	}
}

// TestServiceInPythonScalesAndDiesUnderLoad runs one instance, then three; kills and restarts one of them, and stops
// another. Only the kill fails requests, and each of those reports Maybe or that nothing was done.
func TestServiceInPythonScalesAndDiesUnderLoad(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	i.start(t, interpreter, "translate-1")
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var killing atomic.Bool
	var mu sync.Mutex
	asked := map[string]int{}
	count := func(id string) int { mu.Lock(); defer mu.Unlock(); return asked[id] }
	for g := range 8 {
		wg.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				player := fmt.Sprintf("player-%d-%d", g, k)
				for try := 0; ; try++ {
					id, ok := i.directory.Pick("translate", player)
					if !ok {
						t.Error("no instance to pick")
						return
					}
					killed := killing.Load()
					text, err := i.translate(context.WithoutCancel(ctx), id, player, "hello")
					killed = killed || killing.Load()
					var e *rpc.Error
					if errors.As(err, &e) && e.Code == rpc.Unavailable && !e.Maybe && try < 1000 {
						time.Sleep(5 * time.Millisecond) // the instance has gone: pick another, as a gateway does
						continue
					}
					if err != nil && !(killed && e != nil && e.Maybe) || err == nil && text != "hallo" {
						t.Errorf("%s of %s: %q, %v", player, id, text, err)
					}
					if err == nil {
						mu.Lock()
						asked[id]++
						mu.Unlock()
					}
					break
				}
			}
		})
	}
	second := i.start(t, interpreter, "translate-2")
	third := i.start(t, interpreter, "translate-3")
	i.eventually(t, "all three have players", func() bool {
		return count("translate-1") > 50 && count("translate-2") > 50 && count("translate-3") > 50
	})
	killing.Store(true)
	if err := second.end(t, syscall.SIGKILL); err == nil {
		t.Error("a killed process reported success")
	}
	i.bus.Fail("translate", "translate-2")
	i.eventually(t, "its lease runs out", func() bool { return !i.directory.Alive("translate", "translate-2") })
	i.bus.Fail("translate", "translate-2")
	killing.Store(false)
	before := count("translate-2")
	i.start(t, interpreter, "translate-2")
	i.eventually(t, "it has players again", func() bool { return count("translate-2") > before+50 })
	if err := third.end(t, syscall.SIGTERM); err != nil { // fails no request
		t.Errorf("it ended with %v", err)
	}
	before = count("translate-1")
	i.eventually(t, "the others go on", func() bool { return count("translate-1") > before+100 })
	stop()
	wg.Wait()
}

// TestTableIsWhatTheSchemaSays: translate_wind.py is what wind gen generates.
func TestTableIsWhatTheSchemaSays(t *testing.T) {
	schema, err := gen.Load(t.Context(), gen.Source{Protos: []string{"translate.proto"}})
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := schema.Generate(".", gen.Python)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("WIND_WRITE") != "" {
		if _, err := gen.Write(".", outputs); err != nil {
			t.Fatal(err)
		}
	}
	stale, err := gen.Stale(".", outputs)
	for _, o := range stale {
		t.Errorf("%s is not what wind gen --proto translate.proto --out . --lang python makes", o.Path)
	}
	if err != nil {
		t.Error(err)
	}
}
