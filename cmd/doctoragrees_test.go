package cmd

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gofrs/flock"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/cmd/node/nodetest"
)

// TestDoctorAgreesWithTheStart makes each of these situations and calls the doctor and the start in it. Both must fail with one
// sentence. Before, the doctor called most of them ok.
func TestDoctorAgreesWithTheStart(t *testing.T) {
	t.Chdir(t.TempDir())
	infra, password := beginInfra(t)
	write := func(path, text string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	occupied, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer occupied.Close()
	taken := occupied.Addr().String()
	_, takenPort, _ := net.SplitHostPort(taken)
	silent := nodetest.Addr(t) // nobody listens there

	write("held/LOCK", "")
	lock := flock.New("held/LOCK")
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer func() { _ = lock.Unlock() }()
	write("killed/LOCK", "") // as kill -9 leaves it
	write("killed/servers.json", `{"nats":"nats://node:secret@`+silent+`","etcd":"http://`+silent+`"}`)
	write("foreign/letter.txt", "")
	write("file", "")
	write("kept/dev", "")
	serveOnce(t, "--data", "gone", "--nats-port", "0", "--etcd-port", "0")
	if err := os.RemoveAll("gone/nats"); err != nil {
		t.Fatal(err)
	}
	serveOnce(t, "--data", "rotten", "--nats-port", "0", "--etcd-port", "0")
	write("rotten/etcd/member-wind/member/snap/db", strings.Repeat("rotten", 4096))
	begin := []string{"serve", "--game", "speak", "--udp", "127.0.0.1:0", "--tcp", "", "--http", "", "--data", "begun", "--nats-port", "0", "--etcd-port", takenPort}
	if code := mygame(&strings.Builder{}, &strings.Builder{}).run(begin); code != exitFailed { // after it has made a store without streams
		t.Fatalf("a start with a taken port ends with %d", code)
	}
	write("broken/game/handlers_client/greet.star", "def Handler_GreetRequest(ctx, req)\n")
	write("unknown/game/handlers_client/greet.star", "def Handler_NoSuchRequest(ctx, req):\n    return None\n")

	reader, wrong := "nats://"+infra.nats, "nats://node:wrong@"+infra.nats
	writer := "nats://node:" + password + "@" + infra.nats
	shard, gateway, service := []string{"serve", "--udp", "127.0.0.1:0", "--tcp", "", "--http", ""}, []string{"gateway", "--tcp", "127.0.0.1:0"}, []string{"service", "game"}
	alone := append(append([]string{}, shard...), "--shard", "") // a node for rooms alone
	for _, c := range []struct {
		name  string
		start []string
		more  []string
		says  string
	}{
		{"a reader's URL", shard, []string{"--nats", reader, "--etcd", infra.etcd}, "this user may only read"},
		{"a reader's URL, gateway", gateway, []string{"--nats", reader, "--etcd", infra.etcd}, "this user may only read"},
		{"a reader's URL, service", service, []string{"--nats", reader, "--etcd", infra.etcd}, "this user may only read"},
		{"a wrong password", shard, []string{"--nats", wrong, "--etcd", infra.etcd}, "refuses the user or the password"},
		{"no NATS", shard, []string{"--nats", "nats://" + silent, "--etcd", infra.etcd}, "cannot connect to NATS at nats://" + silent},
		{"no etcd", shard, []string{"--nats", writer, "--etcd", "http://" + silent}, "etcd gave no answer"},
		{"no etcd, gateway", gateway, []string{"--nats", writer, "--etcd", "http://" + silent}, "etcd gave no answer"},
		{"copies without servers", shard, []string{"--replicas", "3", "--data", "new"}, "--replicas 3 needs a cluster of as many NATS servers"},
		{"copies on one server", shard, []string{"--nats", writer, "--etcd", infra.etcd, "--replicas", "3", "--shard", "new"}, "is a single server and cannot keep 3 copies"},
		{"a locked directory", shard, []string{"--data", "held"}, "data directory held is in use by another process"},
		{"another's directory", shard, []string{"--data", "foreign"}, "data directory foreign holds letter.txt and nothing of a node"},
		{"a file for a directory", shard, []string{"--data", "file"}, "data directory file"},
		{"killed servers, gateway", gateway, []string{"--data", "killed"}, "no servers run on killed"},
		{"killed servers, service", service, []string{"--data", "killed"}, "no servers run on killed"},
		{"no servers, service", service, []string{"--data", "nowhere"}, "no servers run on nowhere"},
		{"a log that is gone", shard, []string{"--data", "gone", "--nats-port", "0", "--etcd-port", "0"}, "was owned before (epoch 1) and its log is gone"},
		{"a taken TCP port", shard, []string{"--data", "new", "--tcp", taken}, "name another port with --udp, --tcp or --http"},
		{"a taken HTTP port", shard, []string{"--data", "new", "--http", taken}, "name another port with --udp, --tcp or --http"},
		{"a taken port, gateway", gateway, []string{"--nats", writer, "--etcd", infra.etcd, "--tcp", taken}, "name another port with --udp, --tcp or --http"},
		{"a taken port, service", service, []string{"--nats", writer, "--etcd", infra.etcd, "--http", taken}, "name another port with --udp, --tcp or --http"},
		{"an open address", shard, []string{"--data", "new", "--http", "0.0.0.0:0"}, "loopback"},
		{"a taken TCP port, rooms alone", alone, []string{"--data", "new", "--tcp", taken}, "name another port with --udp, --tcp or --http"},
		{"a locked directory, rooms alone", alone, []string{"--data", "held"}, "data directory held is in use by another process"},
		{"a wrong password, rooms alone", alone, []string{"--nats", wrong, "--etcd", infra.etcd}, "refuses the user or the password"},
		{"no etcd, rooms alone", alone, []string{"--nats", writer, "--etcd", "http://" + silent}, "etcd gave no answer"},
		{"a damaged etcd", shard, []string{"--data", "rotten"}, "etcd: the store is damaged"},
		{"a damaged etcd, rooms alone", alone, []string{"--data", "rotten"}, "etcd: the store is damaged"},
		{"a node for nothing", alone, []string{"--data", "new", "--capacity", "0"}, "the node would have nothing to do"},
		{"no place for archives", shard, []string{"--data", "new", "--archive", "/proc/self"}, "no archive can be kept in /proc/self"},
		{"no place for archives below it", shard, []string{"--data", "new", "--archive", "kept"}, "is a file"},
		{"a taken NATS port", shard, []string{"--data", "new", "--nats-port", takenPort}, "port already taken: 127.0.0.1:" + takenPort},
		{"a taken etcd port", shard, []string{"--data", "new", "--nats-port", "0", "--etcd-port", takenPort}, "the port is taken: another program uses 127.0.0.1:" + takenPort},
		{"a broken script", service, []string{"--nats", writer, "--etcd", infra.etcd, "--scripts", "broken"}, "greet.star:2:1"},
		{"a broken script, all in one", []string{"dev", "--udp", "127.0.0.1:0", "--tcp", "", "--http", "", "--nats-port", "0", "--etcd-port", "0"}, []string{"--data", "new", "--scripts", "broken"}, "greet.star:2:1"},
		{"a handler of no message", service, []string{"--nats", writer, "--etcd", infra.etcd, "--scripts", "unknown"}, "NoSuchRequest"},
		{"a wrong name", shard, []string{"--data", "new", "--cluster", "A B"}, "--cluster"},
		{"a wrong lease", gateway, []string{"--nats", writer, "--etcd", infra.etcd, "--lease", "1s"}, "--lease"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if slices.Contains(c.more, "/proc/self") && runtime.GOOS != "linux" {
				t.Skip("a folder in which nobody can write, whoever runs the test")
			}
			call := func(args ...string) (int, string) {
				var out, log strings.Builder
				code := mygame(&out, &log).run(append(args, "--game", "speak"))
				return code, out.String() + log.String()
			}
			role := map[string]string{"serve": "shard", "dev": "shard", "gateway": "gateway", "service": "service"}[c.start[0]]
			flags := c.start[1:]
			if role == "service" {
				flags = c.start[2:]
			}
			examined, doctor := call(append(append([]string{"doctor", role}, flags...), c.more...)...)
			if _, err := os.Stat("new"); err == nil {
				t.Error("the doctor leaves a directory behind")
			}
			started, start := call(append(append([]string{}, c.start...), append(c.more, "--for", "1s")...)...)
			if started == 0 || examined == 0 || (started == exitUsage) != (examined == exitUsage) && !strings.Contains(start, "no servers run on") {
				t.Errorf("the start ends with %d and the doctor with %d", started, examined)
			}
			if !strings.Contains(start, c.says) || !strings.Contains(doctor, c.says) {
				t.Errorf("want %q from both\nstart: %s\ndoctor: %s", c.says, start, doctor)
			}
			if err := os.RemoveAll("new"); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("a route to nobody", func(t *testing.T) {
		var out, log strings.Builder
		mygame(&out, &log).run(append(gateway, "--game", "speak", "--nats", writer, "--etcd", infra.etcd, "--route", "A=nosuch", "--for", "1s"))
		if strings.Count(log.String(), "--route A=nosuch: no instance of service nosuch runs yet") != 1 {
			t.Errorf("the gateway says: %s", log.String())
		}
	})
	t.Run("all is well", func(t *testing.T) {
		for _, args := range [][]string{
			{"--data", "fresh"},
			{"--data", "begun"},
			{"gateway", "--nats", writer, "--etcd", infra.etcd},
			{"service", "--nats", writer, "--etcd", infra.etcd},
			{"--data", "fresh", "--archive", "fresh/deep/archives"},
			{"--data", "fresh", "--shard", ""},
			{"--data", "gone", "--shard", ""},
			{"--nats", writer, "--etcd", infra.etcd, "--shard", ""},
		} {
			var out, log strings.Builder
			code := mygame(&out, &log).run(append([]string{"doctor", "--game", "speak", "--udp", "127.0.0.1:0", "--tcp", "", "--http", ""}, args...))
			if code != exitDone || strings.Contains(out.String(), "fail ") {
				t.Errorf("doctor %q ends with %d: %s%s", args, code, out.String(), log.String())
			}
		}
		serveOnce(t, "--data", "gone", "--nats-port", "0", "--etcd-port", "0", "--shard", "")
		if _, err := os.Stat("fresh"); err == nil {
			t.Error("the doctor leaves a directory behind")
		}
		var out, log strings.Builder
		code := mygame(&out, &log).run([]string{"doctor", "gateway", "--game", "speak", "--nats", writer, "--etcd", infra.etcd, "--cluster", "nope"})
		if _, etcdHasAny, _ := strings.Cut(out.String(), "nothing has run in cluster nope yet"); code != exitDone || !strings.Contains(etcdHasAny, "these servers have dev") {
			t.Errorf("another cluster: the doctor ends with %d: %s", code, out.String())
		}
	})
}

// serveOnce runs a shard for a second.
func serveOnce(t *testing.T, at ...string) {
	t.Helper()
	var out, log strings.Builder
	call := append([]string{"serve", "--game", "speak", "--udp", "127.0.0.1:0", "--tcp", "", "--http", "", "--for", "1s"}, at...)
	for try := 1; mygame(&out, &log).run(call) != exitDone; try++ { // on a busy machine, a second may end before the first tick
		if try == 20 {
			t.Fatalf("serve fails %d times: %s", try, log.String())
		}
	}
}

// servers are where a test's embedded servers listen.
type servers struct{ nats, etcd string }

// beginInfra starts embedded servers, on which cluster dev has run, and returns the nodes' password.
func beginInfra(t *testing.T) (servers, string) {
	t.Helper()
	data, infra, err := node.OpenInfra(t.Context(), "infra", node.InfraConfig{Embedded: node.Embedded{NATSPort: node.AnyPort, EtcdPort: node.AnyPort}, Fast: true, Logger: slog.New(slog.DiscardHandler)}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(infra.Close(), data.Close()); err != nil {
			t.Error(err)
		}
	})
	serveOnce(t, "--nats", infra.NATSURL(), "--etcd", infra.EtcdURL())
	user, addr, _ := strings.Cut(strings.TrimPrefix(infra.NATSURL(), "nats://"), "@")
	_, password, _ := strings.Cut(user, ":")
	return servers{addr, infra.EtcdURL()}, password
}
