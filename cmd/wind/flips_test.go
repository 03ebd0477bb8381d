package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
)

var (
	damagesFlag    = flag.Int("damages", 0, "how many damages of a data directory to try; 0: 40, or with WIND_LONG=1 360")
	damageSeedFlag = flag.Uint64("damageseed", 0, "seed of the damages; 0 takes one from the clock")
	damageFlag     = flag.Int("damage", -1, "try this damage alone")
	damageDirFlag  = flag.String("damagedir", "", "data directory to damage copies of; one that does not exist is made and kept, so that a failure can be run again")
)

// Bounds of each verb on a damaged directory. The race detector makes everything several times slower.
const (
	damagedTime   = 20 * time.Second * slowdown
	damagedMemory = 1500 << 20 // bytes of memory that is in use
)

// TestAnyDamageIsHarmlessOrRefused flips bits in the files of a stopped node's data directory, one in each copy, a part of
// them in sequences and lengths, and cuts, removes, zeroes and swaps files. On each copy log check, replay --verify and a
// start either are right, with the checksums of before, or refuse it by name: none hangs, panics or takes all memory.
func TestAnyDamageIsHarmlessOrRefused(t *testing.T) {
	n := *damagesFlag
	if n == 0 {
		if n = 40; os.Getenv("WIND_LONG") != "" {
			n = 360
		}
	}
	seed := *damageSeedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	o := newOriginal(t)
	turn := make(chan struct{}, 2)
	var group sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[string]int{}
	for i := range n {
		if *damageFlag >= 0 && i != *damageFlag {
			continue
		}
		turn <- struct{}{}
		group.Go(func() {
			defer func() { <-turn }()
			d := o.damage(seed, i)
			said := o.try(t, d, fmt.Sprintf("-damageseed %d -damage %d -damages %d (%s)", seed, i, n, d.what))
			mu.Lock()
			defer mu.Unlock()
			for verb, outcome := range said {
				outcomes[verb+" "+outcome]++
			}
		})
	}
	group.Wait()
	t.Logf("seed %d, %d damages: %v", seed, n, outcomes)
}

// original is a stopped node's data directory, and what is right about it.
type original struct {
	dir      string
	files    []string // relative
	tick     uint64
	checksum string
}

// newOriginal runs a node with bots, and puts beside its log what takes a node minutes to write: snapshots, and values of
// services.
func newOriginal(t *testing.T) *original {
	t.Helper()
	o := &original{dir: *damageDirFlag}
	if o.dir == "" {
		o.dir = filepath.Join(t.TempDir(), "data")
	}
	if _, err := os.Stat(o.dir); err != nil {
		run(t, 0, nil, "dev", "--data", o.dir, "--udp", nodetest.Addr(t), "--tcp", "", "--http", "", "--bots", "3", "--monsters", "20", "--for", "12s", "--json")
		furnish(t, o.dir)
	}
	var r struct {
		To       uint64
		Checksum string
	}
	run(t, 0, &r, "replay", "--data", o.dir, "--verify", "--json")
	var report struct{ Snapshots, Deltas int }
	run(t, 0, &report, "log", "check", "--data", o.dir, "--json")
	if o.tick, o.checksum = r.To, r.Checksum; o.tick < 200 || report.Snapshots < 2 || report.Deltas < 200 {
		t.Fatalf("the directory to damage holds %d ticks, %d snapshots, %d deltas", o.tick, report.Snapshots, report.Deltas)
	}
	for path := range contents(t, o.dir) {
		rel, err := filepath.Rel(o.dir, path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err == nil && info.Size() > 0 && !strings.HasSuffix(rel, ".log") {
			o.files = append(o.files, rel)
		}
	}
	slices.Sort(o.files) // a seed means the same damages each time
	return o
}

// furnish stores snapshots of a stopped shard, made from its log, and values in a bucket.
func furnish(t *testing.T, data string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	server, err := jetstream.StartServer(jetstream.ServerConfig{Dir: filepath.Join(data, "nats"), Port: -1})
	must(err)
	defer server.Close()
	conn, err := server.Connect(ctx)
	must(err)
	defer conn.Close()
	s, err := jetstream.Open(ctx, conn, "dev", "main", "", jetstream.Options{})
	must(err)
	defer s.Close()
	last, err := s.Log().Last(ctx)
	must(err)
	for _, seq := range []persistence.Seq{last / 3, last / 2, last - 20} {
		m, err := s.Log().Get(ctx, seq)
		must(err)
		p := persistence.NewReplay(arena.Game, s.Source(), persistence.ReplayOptions{To: m.Header.LastTick})
		r, err := p.Run(ctx)
		must(err)
		w := p.World()
		must(s.Snapshots().Put(ctx, persistence.Snapshot{
			Lineage: s.Ref().Lineage, Cluster: "dev", Shard: "main", Seq: seq, Epoch: r.Epoch, Tick: w.Tick(), Checksum: w.Checksum(),
			Chain: persistence.HashOf(m.Body), Schema: w.Schema().JSON(), Body: w.AppendSnapshot(nil),
		}, nil))
	}
	kv, err := jetstream.OpenKV(ctx, conn, "dev", valuesBucket, jetstream.KVOptions{})
	must(err)
	for i := range 40 {
		_, _, err := kv.Put(ctx, valueKey(i), valueOf(i), 0)
		must(err)
	}
}

const valuesBucket = "store-flips"

func valueKey(i int) string { return fmt.Sprint("key-", i) }
func valueOf(i int) []byte  { return []byte(strings.Repeat("v", 10*i)) }

// furnished reports whether the values of services are all there still: nothing else holds them.
func furnished(data string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := jetstream.StartServer(jetstream.ServerConfig{Dir: filepath.Join(data, "nats"), Port: -1})
	if err != nil {
		return err
	}
	defer server.Close()
	conn, err := server.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	kv, err := jetstream.OpenKV(ctx, conn, "dev", valuesBucket, jetstream.KVOptions{})
	if err != nil {
		return err
	}
	for i := range 40 {
		if got, _, err := kv.Get(ctx, valueKey(i)); err != nil || string(got) != string(valueOf(i)) {
			return fmt.Errorf("%s holds %q, error %v", valueKey(i), got, err)
		}
	}
	return nil
}

// Words that no output may hold, and words that name what is damaged: each refusal holds one.
var (
	crashed = regexp.MustCompile(`(?m)^(panic:|fatal error:|goroutine \d+ |SIG[A-Z]+: )|unexpected signal`)
	naming  = regexp.MustCompile(`record \d+|sequence|snapshot|stream|bucket|etcd|lineage|the log|the mark|password|data directory|holds no|no shard|delta`)
)

// try runs the verbs on a damaged copy, and returns how each ended.
func (o *original) try(t *testing.T, d damage, again string) map[string]string {
	dir := filepath.Join(t.TempDir(), "data")
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(o.dir)); err != nil {
		t.Error(err)
		return nil
	}
	if err := d.do(dir); err != nil {
		t.Errorf("%s: %v", again, err)
		return nil
	}
	said := map[string]string{}
	var r struct {
		To       uint64
		Checksum string
		Tick     uint64
		Ticks    uint64
		OK       bool
		Findings []json.RawMessage
	}
	step := func(verb string, right, until func() bool, args ...string) (ok bool) {
		c := bounded(until, args...)
		outcome, bad := "refused", ""
		switch code := c.exit(); {
		case c.broke != "":
			bad = c.broke
		case crashed.MatchString(c.log()):
			bad = "it crashes"
		case code == 0:
			outcome = "right"
			if err := json.Unmarshal(c.output(), &r); err != nil || !right() {
				bad = fmt.Sprintf("it is not right (%v): %s", err, c.output())
			}
		case code != 1 && code != 3:
			bad = fmt.Sprintf("it ends with %d", code)
		case !naming.MatchString(c.log()):
			bad = "it names nothing"
		}
		if bad != "" {
			outcome = "WRONG"
			t.Errorf("%s: %s: %s\n%s", again, strings.Join(args[:2], " "), bad, c.log())
		}
		said[verb] = outcome
		return outcome == "right"
	}
	same := func() bool { return r.To == o.tick && r.Checksum == o.checksum }
	step("check", func() bool { return r.OK }, nil, "log", "check", "--data", dir, "--json")
	step("replay", same, nil, "replay", "--data", dir, "--verify", "--json")
	web := nodetest.Addr(t)
	begun := func() bool { return r.Tick > o.tick && r.Ticks > 0 }
	plays := func() bool { return healthOf(web).Tick > o.tick+5 }
	if step("start", begun, plays, "dev", "--data", dir, "--udp", "127.0.0.1:0", "--tcp", "", "--http", web, "--monsters", "20", "--json") {
		if err := furnished(dir); err != nil {
			t.Errorf("%s: a start goes on: %v", again, err)
		}
		step("replay of what went on", same, nil, "replay", "--data", dir, "--to", fmt.Sprint(o.tick), "--verify", "--json")
	}
	return said
}
