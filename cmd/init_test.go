package cmd_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ferris1/wind/cmd"
	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
)

// TestInitWritesAGameWithServices: the game builds, its own tests pass, and a client that logs in with a token gets answers
// from the handlers in Go and in Starlark.
func TestInitWritesAGameWithServices(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a game of its own")
	}
	game := filepath.Join(t.TempDir(), "pub")
	var out, said strings.Builder
	if code := cmd.Run(arena.Game, []string{"init", game, "--services"}, &out, &said); code != 0 {
		t.Fatalf("init ends with %d: %s", code, said.String())
	}
	shell(t, game, "gofmt", "sh", "-c", `test -z "$(gofmt -l .)"`)
	shell(t, game, "go test ./...", "go", "test", "./...")
	shell(t, game, "go build", "go", "build", "-o", "pub", ".")

	addr := nodetest.Addr(t)
	dev := exec.Command("./pub", "dev", "--udp", "127.0.0.1:0", "--tcp", addr, "--http", "", "--nats-port", "0", "--etcd-port", "0")
	dev.Dir = game
	var log strings.Builder
	dev.Stderr = &log
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = dev.Process.Signal(os.Interrupt)
		if err := dev.Wait(); err != nil || t.Failed() {
			t.Errorf("dev ends with %v:\n%s", err, log.String())
		}
	}()
	mac := hmac.New(sha256.New, []byte("for development only"))
	mac.Write([]byte("alice"))
	token := "alice." + hex.EncodeToString(mac.Sum(nil)) // as the game's account server makes it

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := dialUntil(ctx, t, addr)
	defer c.Close()
	text := func(s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), s)
	}
	for _, wrong := range []string{"", "alice", token + "0", strings.Replace(token, "alice", "bob", 1)} {
		if _, answer, err := c.CallRaw(ctx, 3001, text(wrong)); rpc.ErrorOf(err) == nil {
			t.Errorf("token %q logs in: %q, %v", wrong, answer, err)
		}
	}
	if id, answer, err := c.CallRaw(ctx, 3001, text(token)); err != nil || id != 3002 || !strings.Contains(string(answer), "alice") {
		t.Fatalf("alice's token is answered with %d %q, %v", id, answer, err)
	}
	if id, answer, err := c.CallRaw(ctx, 3003, nil); rpc.ErrorOf(err) == nil || rpc.ErrorOf(err).Code != rpc.InvalidArgument || rpc.ErrorOf(err).Maybe {
		t.Errorf("an empty greeting is answered with %d %q, %v", id, answer, err)
	}
	if id, answer, err := c.CallRaw(ctx, 3003, text("good evening")); err != nil || id != 3004 || !strings.Contains(string(answer), "good evening, alice") {
		t.Errorf("a greeting is answered with %d %q, %v", id, answer, err)
	}
	six := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 6)
	if id, answer, err := c.CallRaw(ctx, 3005, six); err != nil || id != 3006 || len(answer) != 2 || answer[1] < 1 || answer[1] > 6 {
		t.Errorf("a roll is answered with %d %v, %v", id, answer, err)
	}
	if said := shell(t, game, "go run ./client", "go", "run", "./client", "--player", "ben", "--addr", addr); !strings.HasPrefix(said, "logged in as ben\nhello, ben (greeting 1)\nrolled ") {
		t.Errorf("the game's client says %q", said)
	}
	readme, err := os.ReadFile(filepath.Join(game, "README.md"))
	if err != nil || !strings.HasPrefix(string(readme), "# pub\n") || !strings.Contains(string(readme), "go run ./client --player") || strings.Contains(string(readme), "{{") {
		t.Errorf("%v, the game's README:\n%s", err, readme)
	}
	for _, line := range regexp.MustCompile("(?m)^go run \\. ([^#\n]*)").FindAllStringSubmatch(string(readme), -1) {
		verb := strings.Fields(line[1])[0]
		if verb != "--help" {
			shell(t, game, line[0], "./pub", verb, "--help")
		}
	}
}

// dialUntil connects to a gateway that is about to start.
func dialUntil(ctx context.Context, t *testing.T, addr string) *client.RPC {
	t.Helper()
	for {
		c, err := client.DialRPC(ctx, client.RPCConfig{Addr: addr, Transport: client.TCP})
		if err == nil {
			return c
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestAModuleIsNotNamedLikeAPackageOfGo: its own packages could not be imported.
func TestAModuleIsNotNamedLikeAPackageOfGo(t *testing.T) {
	list, err := exec.CommandContext(t.Context(), "go", "list", "std").Output()
	if err != nil {
		t.Skip("the go tool is needed: ", err)
	}
	names := map[string]bool{"std": true, "cmd": true, "main": true}
	for path := range strings.Lines(string(list)) {
		first, _, _ := strings.Cut(strings.TrimSpace(path), "/")
		names[first] = true
	}
	for name := range names {
		var out, log strings.Builder
		dir := filepath.Join(t.TempDir(), name)
		if code := cmd.Run(arena.Game, []string{"init", dir}, &out, &log); code != 2 || !strings.Contains(log.String(), "Go has a package "+name+" of its own") {
			t.Errorf("init %s ends with %d: %s%s", name, code, out.String(), log.String())
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("init %s made the folder", name)
		}
	}
}
