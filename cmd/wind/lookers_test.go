package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// looker runs a tool of others as a user who has nothing of ours: no flags but a server's address, no credentials, no
// contexts of his own.
type looker struct {
	t    *testing.T
	path string
	env  []string
}

// newLooker finds a tool. It skips the test if the tool is missing; .ci/run builds them from .ci/lookers and says with
// WIND_LOOKERS=must that they are there.
func newLooker(t *testing.T, name string, env ...string) *looker {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("WIND_LOOKERS") == "must" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("%s is not installed; build it with: go -C .ci/lookers build -o <a folder of your PATH> tool", name)
	}
	home := t.TempDir()
	return &looker{t, path, append(os.Environ(), append(env, "HOME="+home, "XDG_CONFIG_HOME="+home)...)}
}

func (l *looker) run(args ...string) (string, error) {
	c := exec.Command(l.path, args...)
	c.Env = l.env
	out, err := c.CombinedOutput()
	return string(out), err
}

// reads runs a command that has to work and to print what each expression describes.
func (l *looker) reads(args string, want ...string) string {
	l.t.Helper()
	out, err := l.run(strings.Fields(args)...)
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", args, err, out)
	}
	for _, w := range want {
		if !regexp.MustCompile(w).MatchString(out) {
			l.t.Errorf("%s does not show %q:\n%s", args, w, out)
		}
	}
	return out
}

// isRefused runs a command that has to fail for want of permission.
func (l *looker) isRefused(args string) {
	l.t.Helper()
	out, err := l.run(strings.Fields(args)...)
	if err == nil || !strings.Contains(strings.ToLower(out), "permissions violation") {
		l.t.Errorf("%s was not refused: %v\n%s", args, err, out)
	}
}

// TestNATSToolReadsWhatIsStored: streams, headers and objects have names that explain themselves, and who has no
// credentials changes nothing.
func TestNATSToolReadsWhatIsStored(t *testing.T) {
	probe := newLooker(t, "nats")
	data, http := filepath.Join(t.TempDir(), "data"), nodetest.Addr(t)
	node := wind(t, "dev", "--data", data, "--udp", "127.0.0.1:0", "--tcp", "", "--http", http, "--monsters", "10", "--bots", "2", "--json")
	node.owns(http, 30)
	nats := &looker{t, probe.path, append(probe.env, "NATS_URL="+announced(t, node, "log"))}

	nats.reads("stream ls --all", "WIND_dev_main ", "the log of shard main", "WIND_dev_main_DELTA ", "what each committed tick of shard main changed", "OBJ_WIND_dev_snapshots ")
	info := nats.reads("stream info WIND_dev_main", `Subjects: wind\.dev\.main\.[0-9a-f-]{36}\.log`, "Discard Policy: New", "Allows Msg Delete: false")
	subject := regexp.MustCompile(`wind\.dev\.main\.[0-9a-f-]{36}\.log`).FindString(info)
	nats.reads("stream info WIND_dev_main_DELTA", strings.TrimSuffix(subject, "log")+"delta")
	headers := func(kind, tick string) []string {
		return []string{"Wind-Kind: " + kind + `\b`, "Wind-Tick: " + tick + `\b`, `Wind-Epoch: 1\b`, `Wind-Checksum: [0-9a-f]{16}\b`, `Wind-Format: \d+\b`}
	}
	nats.reads("stream get WIND_dev_main 1", append(headers("genesis", "0"), "arena", "position")...)
	nats.reads("stream get WIND_dev_main 2", headers("epoch", "0")...)
	nats.reads("stream get WIND_dev_main 3", headers("ticks", `1(-\d+)?`)...)
	nats.reads("stream get WIND_dev_main_DELTA 1", headers("delta", "1")...)
	nats.reads("stream get WIND_dev_main --last-for wind.dev.main.>", headers("ticks", `\d+(-\d+)?`)...)
	nats.reads("stream gaps WIND_dev_main", "No deleted messages")
	nats.reads("sub --stream WIND_dev_main --start-sequence 1 --count 2 --headers-only", "seq 1 ", headers("genesis", "0")[0])
	nats.reads("sub --count 2 --headers-only wind.>", `\.log"`, `Wind-Tick: \d+`)
	nats.reads("obj ls", "WIND_dev_snapshots", "snapshots of the shards of cluster dev")
	nats.reads("account info", "readers")
	nats.views("stream view WIND_dev_main 2", "Wind-Kind: genesis", "Wind-Kind: epoch")
	if os.Getenv("WIND_LONG") != "" { // until there is a snapshot
		nats.snapshot(node)
	}

	const soon = " --timeout 1s"
	for _, args := range []string{
		"stream purge -f WIND_dev_main", "stream purge -f WIND_dev_main_DELTA", "stream rm -f WIND_dev_main", "stream rmm -f WIND_dev_main 5", "stream edit -f WIND_dev_main --max-bytes 1000",
		"stream add MINE --subjects mine --defaults", "stream backup WIND_dev_main " + t.TempDir(), "obj del -f WIND_dev_snapshots", "kv add mine",
	} {
		nats.isRefused(args + soon)
	}
	nats.isRefused("pub " + subject + " mine")
	nats.isRefused("pub " + strings.TrimSuffix(subject, "log") + "delta mine")
	nats.reads("pub --reply " + subject + " $JS.API.INFO mine") // the server's answer must not reach the log either
	if out, err := nats.run("consumer", "add", "WIND_dev_main", "--ephemeral", "--defaults", "--target", subject); err == nil || !strings.Contains(out, "read-only") {
		t.Errorf("a consumer may deliver into the log: %s", out)
	}

	node.owns(http, healthOf(http).Tick+30)
	if code := node.stop(); code != 0 {
		t.Errorf("the node ends with %d", code)
	}
	run(t, 0, nil, "log", "check", "--data", data)
}

// views is reads for a command that wants a terminal.
func (l *looker) views(args string, want ...string) {
	l.t.Helper()
	script, err := exec.LookPath("script")
	if err != nil {
		l.t.Logf("%s was not tried: no script(1) that gives it a terminal", args)
		return
	}
	shown := filepath.Join(l.t.TempDir(), "shown")
	f, err := os.Create(shown)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	c := exec.Command(script, "-qec", l.path+" "+args, os.DevNull)
	c.Env, c.Stdout, c.Stderr = l.env, f, f
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	defer func() { // it asks whether it should go on; without its terminal it ends
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	var out []byte
	missing := func(w string) bool { return !bytes.Contains(out, []byte(w)) }
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if out, err = os.ReadFile(shown); err != nil {
			l.t.Fatal(err)
		}
		if !slices.ContainsFunc(want, missing) {
			return
		}
		if time.Now().After(end) {
			l.t.Fatalf("%s does not show %q:\n%s", args, want, out)
		}
	}
}

// snapshot waits for the first one and looks at it.
func (l *looker) snapshot(node *process) {
	l.t.Helper()
	name := regexp.MustCompile(`main/1-\d+-[0-9a-f]{16}`)
	var found string
	node.within(3*patience, "stores a snapshot", func() bool {
		out, _ := l.run("obj", "ls", "WIND_dev_snapshots")
		found = name.FindString(out)
		return found != ""
	})
	l.reads("obj info WIND_dev_snapshots "+found, `tick \d+ of shard main`)
	file := filepath.Join(l.t.TempDir(), "snapshot")
	l.reads("obj get WIND_dev_snapshots " + found + " --output " + file)
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "position") {
		l.t.Errorf("the snapshot's bytes: %.100q, %v", b, err)
	}
}

// announced is the address of a server that a node named when it started.
func announced(t *testing.T, node *process, what string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^  ` + what + ` +(\S+)`).FindStringSubmatch(node.log())
	if m == nil {
		t.Fatalf("the node named no %s:\n%s", what, node.log())
	}
	return m[1]
}

// TestEtcdctlReadsWhatIsStored: every key says what it is, every value is a JSON object.
func TestEtcdctlReadsWhatIsStored(t *testing.T) {
	probe := newLooker(t, "etcdctl")
	http := nodetest.Addr(t)
	node := wind(t, "dev", "--data", filepath.Join(t.TempDir(), "data"), "--udp", "127.0.0.1:0", "--tcp", "", "--http", http, "--monsters", "10", "--json")
	node.owns(http, 60) // the high-water mark comes once a second
	etcdctl := &looker{t, probe.path, append(probe.env, "ETCDCTL_ENDPOINTS="+announced(t, node, "leases"))}
	var out string
	node.until("notes how far its log is", func() bool {
		out, _ = etcdctl.run("get", "--prefix", "/wind/")
		return strings.Contains(out, "/high\n")
	})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines)%2 != 0 {
		t.Fatalf("keys and values are not lines of their own:\n%s", out)
	}
	seen := map[string]map[string]any{}
	for i := 0; i < len(lines); i += 2 {
		value := map[string]any{}
		if err := json.Unmarshal([]byte(lines[i+1]), &value); err != nil {
			t.Errorf("%s holds no JSON object: %s", lines[i], lines[i+1])
		}
		key := lines[i]
		for _, many := range []string{"/wind/dev/nodes/", "/wind/dev/services/gateway/", "/wind/dev/services/rooms/"} {
			if strings.HasPrefix(key, many) {
				key = many
			}
		}
		seen[key] = value
	}
	for key, fields := range map[string][]string{
		"/wind/dev/nodes/":              {"node", "host", "process", "addresses", "build", "since"},
		"/wind/dev/services/gateway/":   {"type", "id", "node", "state", "addresses", "since"},
		"/wind/dev/services/rooms/":     {"type", "id", "node", "state", "addresses", "since"},
		"/wind/dev/keys/ticket-key":     {"key", "since"},
		"/wind/dev/node-lease":          {"lease", "node"},
		"/wind/dev/shards/main/owner":   {"node", "epoch", "lease", "since"},
		"/wind/dev/shards/main/epoch":   {"epoch", "node", "at"},
		"/wind/dev/shards/main/lineage": {"lineage", "since"},
		"/wind/dev/shards/main/high":    {"seq", "epoch", "at"},
	} {
		for _, f := range fields {
			if _, ok := seen[key][f]; !ok {
				t.Errorf("%s has no %s: %v", key, f, seen[key])
			}
		}
		delete(seen, key)
	}
	delete(seen, "/wind/dev/shards/main/attempt") // gone once the first tick has been simulated
	if len(seen) > 0 {
		t.Errorf("keys that nothing explains: %v", seen)
	}
}
