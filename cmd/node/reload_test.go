package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/reload"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/systems/script"
)

// Modules of the tests' service.
const (
	numberModule  = "lib/number.star"
	handlerModule = "handlers_client/world.star"
)

// scriptsOf returns a folder of scripts whose handler has a version and a number.
func scriptsOf(version, number int) fstest.MapFS {
	return fstest.MapFS{
		"game/" + numberModule: {Data: fmt.Appendf(nil, "NUMBER = %d\n", number)},
		"game/" + handlerModule: {Data: fmt.Appendf(nil, `load("lib/number.star", "NUMBER")
VERSION = %d

def Handler_SpeakOnWorldRequest(client, request):
    return SpeakOnWorldResponse(name = str(VERSION), content = str(NUMBER))
`, version)},
	}
}

func number(n int) []script.Module {
	return []script.Module{{Name: numberModule, Source: fmt.Appendf(nil, "NUMBER = %d\n", n)}}
}

// servers are embedded NATS and etcd servers, with an observer's connection to them.
type servers struct {
	*Infra
	cluster *Cluster
}

func startServers(t *testing.T) *servers {
	t.Helper()
	data, err := OpenData(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &servers{}
	if s.Infra, err = StartInfra(t.Context(), InfraConfig{Data: data, Fast: true, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(s.Close(), data.Close()) })
	if s.cluster, err = Connect(t.Context(), "dev", s.NATSURL(), s.EtcdURL(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cluster.Close() })
	return s
}

// config returns the configuration of a node with an instance of the service game.
func (s *servers) config(id string, scripts fs.FS) Config {
	return Config{
		Game: ecs.Game{Name: "empty", TickRate: 10, Setup: func(*ecs.World) {}}, NATS: s.NATSURL(), Etcd: s.EtcdURL(), ID: id, Instance: id, NoShard: true,
		Services: []Service{{Type: "game", Files: []protoreflect.FileDescriptor{speakpb.File_speakpb_speak_proto}}},
		Scripts:  scripts, Lease: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
	}
}

func (s *servers) start(t *testing.T, c Config) *Node {
	t.Helper()
	n, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop() })
	s.eventually(t, c.ID+" is in the directory", func() bool { return s.cluster.Directory.Alive("game", c.ID) })
	return n
}

func (s *servers) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("this never happened: " + what)
		}
	}
}

// runs returns the version and the number of the scripts in force in a node's service.
func runs(n *Node) string {
	var version, number int
	for _, m := range n.instances[0].service.Modules() {
		switch m.Name {
		case numberModule:
			_, _ = fmt.Sscanf(string(m.Source), "NUMBER = %d", &number)
		case handlerModule:
			_, line, _ := strings.Cut(string(m.Source), "\n")
			_, _ = fmt.Sscanf(line, "VERSION = %d", &version)
		}
	}
	return fmt.Sprintf("%d.%d", version, number)
}

// kept returns the bucket of the scripts that reloads have put in force.
func (s *servers) kept(t *testing.T) *jetstream.KV {
	t.Helper()
	kv, err := jetstream.OpenKV(t.Context(), s.cluster.NATS, "dev", scriptsBucket, jetstream.KVOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// modules returns the modules of scriptsOf(1, number).
func modules(t *testing.T, number int) []script.Module {
	t.Helper()
	all, err := script.ReadFolder(scriptsOf(1, number), "game")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s *servers) reload(t *testing.T, modules []script.Module) {
	t.Helper()
	if _, err := s.cluster.Reload(t.Context(), "game", modules, ReloadOptions{}); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, n *Node, want string) {
	t.Helper()
	if got := runs(n); got != want {
		t.Errorf("%s runs %s, want %s", n.ID(), got, want)
	}
}

func TestVersionsKeepWhatWasReloadedApart(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	a, b := s.start(t, s.config("a", scriptsOf(2, 1))), s.start(t, s.config("b", scriptsOf(1, 1)))
	s.reload(t, number(5))
	must(t, a, "2.5")
	must(t, b, "1.5")
	must(t, s.start(t, s.config("c", scriptsOf(2, 1))), "2.5")
	must(t, s.start(t, s.config("d", scriptsOf(1, 1))), "1.5")
	must(t, s.start(t, s.config("e", scriptsOf(3, 1))), "3.1")
}

// TestOperatorsReloadOneAfterAnother: of two reloads at once, the later is in force everywhere and is stored.
func TestOperatorsReloadOneAfterAnother(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	var nodes []*Node
	for _, id := range []string{"a", "b", "c"} {
		nodes = append(nodes, s.start(t, s.config(id, scriptsOf(1, 0))))
	}
	for round := range 10 {
		var wg sync.WaitGroup
		for k := range 2 {
			wg.Go(func() {
				if _, err := s.cluster.Reload(t.Context(), "game", number(10*round+k), ReloadOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		k, _, err := nodes[0].instances[0].scripts.Entry(t.Context())
		for _, n := range nodes {
			if runs(n) != runs(nodes[0]) || script.SHA256(n.instances[0].service.Modules()) != k.SHA256 || err != nil {
				t.Fatalf("round %d: %s runs %s, %s runs %s, kept is generation %d, %v", round, n.ID(), runs(n), nodes[0].ID(), runs(nodes[0]), k.Generation, err)
			}
		}
	}
}

// half adds an instance that accepts a reload's first step but not the second.
func (s *servers) half(t *testing.T, n *Node, id string) {
	t.Helper()
	served, err := n.cluster.Bus.Serve(bus.ServeConfig{
		Type: "game", ID: id, Handler: n.instances[0].service,
		Admin: func(_ context.Context, op string, _ []byte) ([]byte, error) {
			if op == "commit" {
				return nil, rpc.Errorf(rpc.Unavailable, "it died")
			}
			return []byte(`{"report":{},"generation":0}`), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	entry, err := n.member.Register(t.Context(), discovery.Instance{Type: "game", ID: id, State: discovery.Up})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(entry.Close(), served.Close(context.Background())) })
	s.eventually(t, id+" is in the directory", func() bool { return s.cluster.Directory.Alive("game", id) })
}

// TestAReloadThatIsMixedHeals: instances that a reload did not reach, and those that start later, follow those that it
// did reach.
func TestAReloadThatIsMixedHeals(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	a := s.start(t, s.config("a", scriptsOf(1, 1)))
	s.half(t, a, "half")
	if _, err := s.cluster.Reload(t.Context(), "game", number(5), ReloadOptions{}); err == nil || !strings.Contains(err.Error(), "is mixed") {
		t.Fatalf("a reload that is mixed: %v", err)
	}
	must(t, a, "1.5")
	b := s.start(t, s.config("b", scriptsOf(1, 1)))
	must(t, b, "1.5")
	if _, err := reload.Run(t.Context(), s.cluster.Bus.Admin, reload.Config{Type: "game", Instances: []string{"a"}, Modules: number(6)}); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "b has followed", func() bool { return runs(b) == "1.6" })
}

// TestALostBucketIsFilledAgain: an instance keeps its scripts when the bucket has lost them.
func TestALostBucketIsFilledAgain(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	a := s.start(t, s.config("a", scriptsOf(1, 1)))
	s.reload(t, number(2))
	scripts := a.instances[0].scripts
	_, revision, err := scripts.Entry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.kept(t).Delete(t.Context(), reload.Key("game", modules(t, 1)), revision); !ok || err != nil {
		t.Fatal(ok, err)
	}
	s.eventually(t, "it is kept again", func() bool {
		k, _, err := scripts.Entry(t.Context())
		return err == nil && k.Generation == 1
	})
	must(t, s.start(t, s.config("b", scriptsOf(1, 1))), "1.2")
}

func TestWhatIsKeptAndNoGoodIsNotRun(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	a := s.start(t, s.config("a", scriptsOf(1, 1)))
	s.reload(t, number(2))
	k, revision, err := a.instances[0].scripts.Entry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unfit := k
	unfit.Generation, unfit.SHA256 = 7, "other"
	unfit.Modules = reload.Pack([]script.Module{{Name: handlerModule, Source: []byte("def Handler_Nobody(client, request):\n    pass\n")}}, true)
	damaged := unfit
	damaged.Generation = 8
	damaged.Modules = reload.Pack(number(9), true)
	damaged.Modules[0].SHA256 = strings.Repeat("0", 64)
	values := [][]byte{[]byte("no gzip")}
	for _, k := range []reload.Entry{unfit, damaged} {
		b, err := k.Encode()
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, b)
	}
	for at, value := range values {
		var ok bool
		if revision, ok, err = s.kept(t).Put(t.Context(), reload.Key("game", modules(t, 1)), value, revision); !ok || err != nil {
			t.Fatal(ok, err)
		}
		must(t, s.start(t, s.config(fmt.Sprint("late-", at), scriptsOf(1, 1))), "1.1")
		must(t, a, "1.2")
	}
	s.reload(t, number(3)) // this repairs it
	must(t, s.start(t, s.config("b", scriptsOf(1, 1))), "1.3")
}

// TestScriptsThatCannotBeKeptAreRefused uses noise, which does not compress.
func TestScriptsThatCannotBeKeptAreRefused(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	a := s.start(t, s.config("a", scriptsOf(1, 1)))
	noise := func(n int) (modules []script.Module) {
		r := rand.NewChaCha8([32]byte{})
		for k := range n {
			b := make([]byte, script.MaxSource/2-64)
			_, _ = r.Read(b)
			modules = append(modules, script.Module{Name: fmt.Sprintf("lib/noise%d.star", k), Source: fmt.Appendf(nil, "# %x\n", b)})
		}
		return modules
	}
	s.reload(t, append(noise(6), number(2)...)) // 1.5 MB, less after compression
	_, err := s.cluster.Reload(t.Context(), "game", append(noise(12), number(3)...), ReloadOptions{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than the %d that can be kept", jetstream.MaxValue)) {
		t.Errorf("too much: %v", err)
	}
	must(t, a, "1.2")
	must(t, s.start(t, s.config("b", scriptsOf(1, 1))), "1.2")
}

// TestTheFolderOfDevSaysWhatIsInForce: also if the folder was changed back while dev was down, and for the other
// instances too.
func TestTheFolderOfDevSaysWhatIsInForce(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	dir := t.TempDir()
	write := func(n int) {
		t.Helper()
		if err := os.CopyFS(dir, scriptsOf(1, n)); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "game", numberModule), number(n)[0].Source, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	dev := s.config("dev", os.DirFS(dir))
	dev.Watch, dev.Insist = dir, true
	n := s.start(t, dev)
	other := s.start(t, s.config("other", scriptsOf(1, 1)))
	write(2)
	s.eventually(t, "both run it", func() bool { return runs(n) == "1.2" && runs(other) == "1.2" })
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	write(1)
	n = s.start(t, dev)
	must(t, n, "1.1")
	s.eventually(t, "the other follows", func() bool { return runs(other) == "1.1" })
	must(t, s.start(t, s.config("late", scriptsOf(1, 1))), "1.1")
}

// TestInstancesThatWatchTheSameContentReloadItOnce: each has its own mount of one ConfigMap, and sees a change when its
// mount is swapped. An instance that starts with an old mount brings nothing old back.
func TestInstancesThatWatchTheSameContentReloadItOnce(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	type mount struct {
		*Node
		dir  string
		said *lines
	}
	write := func(m mount, n int) {
		if err := os.WriteFile(filepath.Join(m.dir, "game", numberModule), number(n)[0].Source, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func(id string, n int) mount {
		m := mount{dir: t.TempDir(), said: &lines{}}
		if err := os.CopyFS(m.dir, scriptsOf(1, n)); err != nil {
			t.Fatal(err)
		}
		c := s.config(id, os.DirFS(m.dir))
		c.Watch, c.Logger = m.dir, slog.New(slog.NewTextHandler(m.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		m.Node = s.start(t, c)
		return m
	}
	all := func(want string, mounts ...mount) {
		t.Helper()
		s.eventually(t, "all run "+want, func() bool {
			return !slices.ContainsFunc(mounts, func(m mount) bool { return runs(m.Node) != want })
		})
	}
	idle := func(m mount, times int) {
		t.Helper()
		s.eventually(t, "it finds its folder in force", func() bool { return m.said.count("already in force") == times })
	}
	a, b := start("a", 1), start("b", 1)
	write(a, 2)
	all("1.2", a, b)
	write(b, 2)
	idle(b, 1)
	c := start("c", 1) // its mount is old
	all("1.2", c)
	write(c, 2)
	idle(c, 1)
	all("1.2", a, b, c)
	write(b, 3)
	all("1.3", a, b, c)
	for _, m := range []mount{a, b, c} {
		if g := m.instances[0].scripts.Generation(); g != 2 {
			t.Errorf("%s has generation %d after two changes", m.config.ID, g)
		}
	}
}

// lines counts what a logger writes.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), what)
}

// TestAFileThatIsSavedWhileDevStartsIsLoaded saves it between the first reading and the watch.
func TestAFileThatIsSavedWhileDevStartsIsLoaded(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, scriptsOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	c := s.config("dev", os.DirFS(dir))
	c.Watch, c.Insist = dir, true
	c.Services[0].Handlers = func() (client, server []any) {
		if err := os.WriteFile(filepath.Join(dir, "game", numberModule), number(2)[0].Source, 0o600); err != nil {
			t.Error(err)
		}
		return nil, nil
	}
	n := s.start(t, c)
	s.eventually(t, "it is loaded", func() bool { return runs(n) == "1.2" })
}

// TestAnInstanceThatStopsAnsweringHoldsNoReloadUp: the reload ends once the instance has left the directory.
func TestAnInstanceThatStopsAnsweringHoldsNoReloadUp(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	a := s.start(t, s.config("a", scriptsOf(1, 1)))
	release := make(chan struct{})
	defer close(release)
	served, err := a.cluster.Bus.Serve(bus.ServeConfig{Type: "game", ID: "mute", Handler: a.instances[0].service, Admin: func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = served.Close(context.Background()) }()
	entry, err := a.member.Register(t.Context(), discovery.Instance{Type: "game", ID: "mute", State: discovery.Up})
	if err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "it is in the directory", func() bool { return s.cluster.Directory.Alive("game", "mute") })
	gone := time.AfterFunc(500*time.Millisecond, func() { _ = entry.Close() })
	defer gone.Stop()
	begun := time.Now()
	_, err = s.cluster.Reload(t.Context(), "game", number(2), ReloadOptions{})
	if err == nil || !strings.Contains(err.Error(), "mute: the service went away") || strings.Contains(err.Error(), "may have been executed") {
		t.Errorf("it ends with %v", err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v, as long as the instance was given", took)
	}
	must(t, a, "1.1")
}

// TestAnInstanceThatLostItsIDEnds: another process has taken its directory entry.
func TestAnInstanceThatLostItsIDEnds(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	n := s.start(t, s.config("a", scriptsOf(1, 1)))
	lease := s.etcd(t, "lease/grant", map[string]any{"TTL": 60})["ID"]
	s.etcd(t, "kv/put", map[string]any{"key": []byte("/wind/dev/services/game/a"), "value": []byte(`{"node":"b"}`), "lease": lease})
	n.instances[0].entry.Update(func(e *discovery.Instance) { e.Capacity = 3 })
	select {
	case <-n.Done():
	case <-time.After(time.Minute):
		t.Fatal("the node keeps running")
	}
	if err := n.Stop(); !errors.Is(err, etcd.ErrTaken) || !strings.Contains(err.Error(), "instance a of service game ends") {
		t.Errorf("it ends with %v", err)
	}
}

// TestANodeThatLostItsNameEnds: another process has registered under its name while it had no lease.
func TestANodeThatLostItsNameEnds(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	n := s.start(t, s.config("a", scriptsOf(1, 1)))
	before, other := n.member.State().ID, s.etcd(t, "lease/grant", map[string]any{"TTL": 60})["ID"]
	s.etcd(t, "kv/put", map[string]any{"key": []byte("/wind/dev/nodes/a"), "value": []byte(`{"node":"a"}`), "lease": other})
	s.etcd(t, "lease/revoke", map[string]any{"ID": strconv.FormatInt(before, 10)})
	select {
	case <-n.Done():
	case <-time.After(time.Minute):
		t.Fatal("the node keeps running")
	}
	if err := n.Stop(); !errors.Is(err, etcd.ErrTaken) || !strings.Contains(err.Error(), "node a ends: another process took its name") {
		t.Errorf("it ends with %v", err)
	}
}

// etcd sends the server a request as other programs do.
func (s *servers) etcd(t *testing.T, what string, body map[string]any) (answer map[string]any) {
	t.Helper()
	b, err := json.Marshal(body) // bytes become base64, as etcd requires
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(s.EtcdURL()+"/v3/"+what, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s, %v", what, r.Status, err)
	}
	return answer
}
