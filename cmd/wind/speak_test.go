package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// speakScripts are those of the example.
const speakScripts = "../examples/speak/scripts"

// startSpeak starts the example on a data directory, with a copy of its scripts; addr is where clients connect.
func startSpeak(t *testing.T, data string) (dev *process, addr string) {
	t.Helper()
	dev = wind(t, "dev", "--game", "speak", "--data", data, "--scripts", copyScripts(t, speakScripts), "--udp", "", "--tcp", "127.0.0.1:0", "--http", "", "--json")
	return dev, dev.listens(`(\S+)\s+TCP\b`)
}

// speaker is a client as ferris1/wind's are: bare frames, and answers by their ids.
type speaker struct {
	t    *testing.T
	name string
	conn net.Conn
}

func newSpeaker(t *testing.T, addr, name string) *speaker {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &speaker{t, name, conn}
}

func (s *speaker) send(m proto.Message) {
	s.t.Helper()
	if _, err := s.conn.Write(frame.AppendMessage(nil, wirepb.IDOf(m), m)); err != nil {
		s.t.Fatal(err)
	}
}

// hear reads the next frame, which has to be m.
func (s *speaker) hear(m proto.Message) {
	s.t.Helper()
	var head [frame.HeaderSize]byte
	_, err := io.ReadFull(s.conn, head[:])
	if err != nil {
		s.t.Fatalf("%s hears nothing: %v", s.name, err)
	}
	id, n := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	payload := make([]byte, n)
	if _, err = io.ReadFull(s.conn, payload); err == nil && id == wirepb.IDOf(m) {
		err = proto.Unmarshal(payload, m)
	}
	if err != nil || id != wirepb.IDOf(m) {
		s.t.Fatalf("%s hears message %d %q (%v), want %d", s.name, id, payload, err, wirepb.IDOf(m))
	}
}

// enter logs in and creates a role.
func (s *speaker) enter(role int32) {
	s.t.Helper()
	var login speakpb.PlayerLoginResponse
	s.send(&speakpb.PlayerLoginRequest{PlayerId: s.name})
	s.hear(&login)
	var made speakpb.CreateRoleResponse
	s.send(&speakpb.CreateRoleRequest{PlayerId: s.name, RoleId: role})
	s.hear(&made)
	if !login.Result || login.PlayerId != s.name || !made.Result || made.RoleId != role {
		s.t.Errorf("%s got %v and %v", s.name, &login, &made)
	}
}

// TestTwoClientsTalkAndTheirRolesOutliveTheProcess is the example with the clients that it is for.
func TestTwoClientsTalkAndTheirRolesOutliveTheProcess(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	dev, addr := startSpeak(t, data)
	ann, bob := newSpeaker(t, addr, "ann"), newSpeaker(t, addr, "bob")
	ann.enter(7)
	bob.enter(8)
	for _, s := range []*speaker{ann, bob} {
		s.send(&speakpb.SpeakOnWorldRequest{PlayerId: s.name, Name: strings.ToUpper(s.name), Content: "hello from " + s.name})
		for _, listener := range []*speaker{ann, bob} {
			var heard speakpb.SpeakOnWorldResponse
			listener.hear(&heard)
			if heard.SpeakId != s.name || heard.Name != strings.ToUpper(s.name) || heard.Content != "hello from "+s.name {
				t.Errorf("%s hears %v from %s", listener.name, &heard, s.name)
			}
		}
	}
	if code := dev.stop(); code != 0 {
		t.Fatalf("dev ends with %d", code)
	}
	dev, addr = startSpeak(t, data)
	if role := roleOf(t, addr, "ann"); role != 7 {
		t.Errorf("ann's role is %d after a stop", role)
	}
	dev.kill()
	_, addr = startSpeak(t, data)
	if role := roleOf(t, addr, "bob"); role != 8 {
		t.Errorf("bob's role is %d after a kill", role)
	}
}

// roleOf logs a player in and asks for its role.
func roleOf(t *testing.T, addr, player string) int32 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.DialRPC(ctx, client.RPCConfig{Addr: addr, Transport: client.TCP})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Call(ctx, &speakpb.PlayerLoginRequest{PlayerId: player}, nil); err != nil {
		t.Fatal(err)
	}
	var role speakpb.RoleResponse
	if err := c.Call(ctx, &speakpb.RoleRequest{}, &role); err != nil {
		t.Fatal(err)
	}
	return role.RoleId
}

// TestPythonClientsTalk has two of our Python clients log in, create their roles and hear each other.
func TestPythonClientsTalk(t *testing.T) {
	script := "../../netcode/testdata/python/windclient.py"
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 on this machine")
	}
	if _, err := os.Stat(script); err != nil {
		t.Skip(err)
	}
	_, addr := startSpeak(t, filepath.Join(t.TempDir(), "data"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	type talk struct {
		name string
		out  []byte
		err  error
	}
	done := make(chan talk)
	for _, name := range []string{"ann", "bob"} {
		go func() {
			out, err := exec.CommandContext(ctx, python, script, "--addr", addr, "--name", name, "--say", "hello from "+name,
				"--every", "0.1", "--hear", "ann", "--hear", "bob", "--timeout", "30").CombinedOutput()
			done <- talk{name, out, err}
		}()
	}
	for range 2 {
		if r := <-done; r.err != nil || !strings.Contains(string(r.out), "hello from ann") || !strings.Contains(string(r.out), "hello from bob") {
			t.Errorf("%s ends with %v:\n%s", r.name, r.err, r.out)
		}
	}
}

// TestRoleOutlivesItsService kills a player's service and starts it again.
func TestRoleOutlivesItsService(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServices(t, 1, "game-1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.DialRPC(ctx, client.RPCConfig{Addr: s.doors[0].addr, Transport: client.TCP})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, m := range []proto.Message{&speakpb.PlayerLoginRequest{PlayerId: "ann"}, &speakpb.CreateRoleRequest{RoleId: 7}} {
		if err := c.Call(ctx, m, nil); err != nil {
			t.Fatal(err)
		}
	}
	killed := time.Now()
	s.games["game-1"].kill()
	s.game("game-1")
	var role speakpb.RoleResponse
	s.infra.until("has the service again", func() bool {
		err = c.Call(ctx, &speakpb.RoleRequest{}, &role)
		var e *rpc.Error
		return err == nil || !errors.As(err, &e) || e.Code != rpc.Unavailable
	})
	if err != nil || role.RoleId != 7 {
		t.Errorf("the role is %d (%v), it was 7", role.RoleId, err)
	}
	t.Logf("the same session was answered again %v after the kill", time.Since(killed).Round(time.Millisecond))
}

// TestDevRunsTheShardScriptsOfItsFolder: what was changed while it was down is in force in a world that is there, through
// its log.
func TestDevRunsTheShardScriptsOfItsFolder(t *testing.T) {
	data, scripts := filepath.Join(t.TempDir(), "data"), copyScripts(t, speakScripts)
	start := func() *process {
		t.Helper()
		dev := wind(t, "dev", "--game", "speak", "--data", data, "--scripts", scripts, "--udp", "", "--tcp", "127.0.0.1:0", "--http", "", "--json")
		dev.listens(`(\S+)\s+TCP\b`)
		return dev
	}
	reloadsNothing := func() {
		t.Helper()
		answer := struct{ Modules, Tick int }{Tick: -1}
		run(t, 0, &answer, "reload", "shard:main", "--game", "speak", "--scripts", scripts, "--data", data, "--json")
		if answer.Modules == 0 || answer.Tick > 0 {
			t.Errorf("a reload of what is in force is committed: %+v", answer)
		}
	}
	dev := start()
	reloadsNothing()
	if code := dev.stop(); code != 0 || strings.Contains(dev.log(), "scripts reloaded") {
		t.Fatalf("dev ends with %d:\n%s", code, dev.log())
	}
	module := filepath.Join(scripts, "shard", "fireflies.star")
	source := string(must(os.ReadFile(module)))
	if err := os.WriteFile(module, []byte(strings.Replace(source, "SPEED = 0.15 ", "SPEED = 0.35 ", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	dev = start()
	dev.until("has reloaded the shard", func() bool { return strings.Contains(dev.log(), "scripts reloaded") })
	reloadsNothing()
	if err := os.WriteFile(filepath.Join(scripts, "shard", "more.star"), []byte("MORE = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dev.until("has one more module", func() bool { return strings.Count(dev.log(), "scripts reloaded") == 2 })
	if err := os.Remove(filepath.Join(scripts, "shard", "more.star")); err != nil {
		t.Fatal(err)
	}
	dev.until("has one module less", func() bool { return strings.Count(dev.log(), "scripts reloaded") == 3 })
	reloadsNothing()
	if code := dev.stop(); code != 0 {
		t.Fatalf("dev ends with %d", code)
	}
	run(t, 0, nil, "replay", "--data", data, "--verify")
}

// TestReloadsOfAShardReplay changes a shard's scripts 20 times while it runs, and proves that the log holds what ran.
func TestReloadsOfAShardReplay(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	dev, _ := startSpeak(t, data)
	scripts := copyScripts(t, speakScripts)
	module := filepath.Join(scripts, "shard", "fireflies.star")
	source := string(must(os.ReadFile(module)))
	if !strings.Contains(source, "SPEED = 0.15 ") {
		t.Fatal("the example's fireflies have no SPEED = 0.15 any more")
	}
	var last struct{ Tick uint64 }
	for i := range 20 {
		changed := strings.Replace(source, "SPEED = 0.15 ", fmt.Sprintf("SPEED = 0.%02d ", 20+i), 1)
		if err := os.WriteFile(module, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		before := last.Tick
		run(t, 0, &last, "reload", "shard:main", "--game", "speak", "--scripts", scripts, "--data", data, "--json")
		if last.Tick <= before {
			t.Errorf("reload %d was committed in tick %d, the one before in %d", i+1, last.Tick, before)
		}
		if i%5 == 0 {
			run(t, 0, nil, "call", "shard:main", "speak.wave", fmt.Sprintf(`{"strength": %d.5}`, i%4), "--data", data)
		}
	}
	run(t, 1, nil, "call", "shard:main", "speak.wave", `{"strength": 99}`, "--data", data)
	if err := os.WriteFile(module, []byte(source+"\nOTHER = CALMM\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := run(t, 1, nil, "reload", "shard:main", "--game", "speak", "--scripts", scripts, "--data", data)
	if !strings.Contains(refused.log(), fmt.Sprintf("fireflies.star:%d:9", strings.Count(source, "\n")+2)) {
		t.Errorf("a reload that is refused does not say where:\n%s", refused.log())
	}
	if code := dev.stop(); code != 0 {
		t.Fatalf("dev ends with %d", code)
	}
	var ran, simulated, applied struct {
		Tick, To uint64
		Checksum string
	}
	dev.result(&ran)
	run(t, 0, &simulated, "replay", "--data", data, "--verify", "--json")
	run(t, 0, &applied, "replay", "--data", data, "--from-deltas", "--verify", "--json")
	if simulated.Checksum != ran.Checksum || applied.Checksum != ran.Checksum || simulated.To != ran.Tick || applied.To != ran.Tick {
		t.Errorf("ran to %d %s, simulated to %d %s, applied to %d %s", ran.Tick, ran.Checksum, simulated.To, simulated.Checksum, applied.To, applied.Checksum)
	}
	var report struct {
		OK       bool
		Findings []json.RawMessage
	}
	run(t, 0, &report, "log", "check", "--data", data, "--json")
	if !report.OK || len(report.Findings) > 0 {
		t.Errorf("log check: ok %v, findings %s", report.OK, report.Findings)
	}
}
