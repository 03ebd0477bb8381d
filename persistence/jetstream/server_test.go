package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/ferris1/wind/persistence"
)

func TestMain(m *testing.M) {
	if run, ok := children[os.Getenv("WIND_TEST_CHILD")]; ok {
		run(os.Getenv("WIND_TEST_DIR"))
		return
	}
	goleak.VerifyTestMain(m)
}

// children are what this test binary does when a test starts it as a separate process.
var children = map[string]func(dir string){
	"hold": func(dir string) { // keeps the store open until it is killed
		if _, err := StartServer(ServerConfig{Dir: dir, Port: -1}); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("ready")
		select {}
	},
}

// startChild runs children[name] in a separate process and returns its output. The process is killed at the end of the
// test.
func startChild(t *testing.T, name, dir string) (*exec.Cmd, *lineReader) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "WIND_TEST_CHILD="+name, "WIND_TEST_DIR="+dir)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c, newLineReader(out)
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func startServer(t testing.TB, c ServerConfig) *Server {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.Logger == nil {
		c.Logger = quiet()
	}
	s, err := StartServer(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connectTo(t testing.TB, s *Server) *Conn {
	t.Helper()
	c, err := s.Connect(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestSecondServerOnADirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	_, out := startChild(t, "hold", dir)
	if line := out.next(t); line != "ready" {
		t.Fatal(line)
	}
	_, err := StartServer(ServerConfig{Dir: dir, Port: -1, Logger: quiet()})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("a second server: %v", err)
	}
	if _, err := CheckStore(testContext(t), dir); !errors.Is(err, ErrInUse) {
		t.Fatalf("checking a store in use: %v", err)
	}
}

func TestTakenPortIsOneSentence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = StartServer(ServerConfig{Dir: t.TempDir(), Port: port, Logger: quiet()})
	if !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), fmt.Sprint(port)) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("on a taken port: %v", err)
	}
}

func TestServerStopsAndStartsAgain(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		s, err := StartServer(ServerConfig{Dir: dir, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Connect(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		s.Close()
		s.Close()
	}
}

// TestReadersLookAndChangeNothing does over the port what the nats tool does.
func TestReadersLookAndChangeNothing(t *testing.T) {
	ctx := testContext(t)
	s := startServer(t, ServerConfig{User: "node", Password: "secret"})
	shard := createShard(t, connectTo(t, s))
	appendTicks(t, shard, 3)
	putSnapshot(t, shard)

	nc, err := nats.Connect("nats://"+s.Addr(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	name := logStream("dev", "main")
	stream, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal("stream info:", err)
	}
	if m, err := stream.GetMsg(ctx, 2); err != nil || m.Header.Get("Wind-Tick") == "" {
		t.Fatal("stream get:", err)
	}
	if c, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{}); err != nil {
		t.Fatal("stream view:", err)
	} else if m, err := c.Next(); err != nil || m.Headers().Get("Wind-Kind") != "genesis" {
		t.Fatal("stream view:", err)
	}
	bucket, err := js.ObjectStore(ctx, snapshotBucket("dev"))
	if err != nil {
		t.Fatal("object ls:", err)
	}
	objects, err := bucket.List(ctx)
	if err != nil || len(objects) != 1 {
		t.Fatal("object ls:", objects, err)
	}
	if b, err := bucket.GetBytes(ctx, objects[0].Name); err != nil || len(b) == 0 {
		t.Fatal("object get:", err)
	}

	before := lastOf(t, shard)
	refused := func(what string, try func(ctx context.Context) error) {
		t.Helper()
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if err := try(short); err == nil {
			t.Errorf("a reader may %s", what)
		}
	}
	refused("publish", func(ctx context.Context) error {
		_, err := js.Publish(ctx, logSubject("dev", "main", testLineage), []byte("x"))
		return err
	})
	refused("purge", func(ctx context.Context) error { return stream.Purge(ctx) })
	refused("delete a stream", func(ctx context.Context) error { return js.DeleteStream(ctx, name) })
	refused("delete a message", func(ctx context.Context) error { return stream.DeleteMsg(ctx, 1) })
	refused("change a stream", func(ctx context.Context) error {
		c := stream.CachedInfo().Config
		c.DenyDelete, c.Discard = false, jetstream.DiscardOld
		_, err := js.UpdateStream(ctx, c)
		return err
	})
	refused("make a stream", func(ctx context.Context) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "MINE", Subjects: []string{"mine"}})
		return err
	})
	refused("delete an object", func(ctx context.Context) error { return bucket.Delete(ctx, objects[0].Name) })
	if after := lastOf(t, shard); after != before {
		t.Fatalf("the log went from %d to %d", before, after)
	}

	node, err := Connect(ctx, ConnectConfig{URL: "nats://node:secret@" + s.Addr(), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	theirs, err := Open(ctx, node, "dev", "main", testLineage, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	appendTicks(t, theirs, 1)

	if _, err := Connect(ctx, ConnectConfig{URL: "nats://node:wrong@" + s.Addr(), Logger: quiet()}); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Fatalf("with a wrong password: %v", err)
	}
}

// TestFullerDiskKeepsItsStreams: limits are reserved while the free disk shrinks; a store that was created when the
// disk was emptier still opens.
func TestFullerDiskKeepsItsStreams(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, ServerConfig{Dir: dir, Port: -1, MaxBytes: 4 << 30})
	c := connectTo(t, s)
	w := appendTicks(t, createShard(t, c), 3)
	c.Close()
	s.Close()

	c = connectTo(t, startServer(t, ServerConfig{Dir: dir, Port: -1, MaxBytes: 256 << 20}))
	shard, err := Open(testContext(t), c, "dev", "main", testLineage, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer shard.Close()
	w.commit(t, shard)
	_, err = Create(testContext(t), c, "dev", "second", testLineage, Options{LogBytes: 1 << 30})
	if !errors.Is(err, persistence.ErrFull) {
		t.Fatalf("a stream larger than the store: %v", err)
	}
}
