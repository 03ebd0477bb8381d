package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ferris1/wind/cmd/fleet"
	"github.com/ferris1/wind/cmd/node"
	netclient "github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/room"
)

// RoomsOptions configures Rooms.
type RoomsOptions struct {
	Exe     string // a program with Wind's verbs; it runs as infra and as the nodes
	Game    string
	Options string        // of each room, a JSON object
	Rooms   int           // how many
	Bots    int           // in each room
	Nodes   int           // processes that host them
	For     time.Duration // how long they play
	Dir     string        // parent of the servers' temporary store
	Keep    bool          // leave the store, for log check and replay
	Wait    bool          // until the rooms have ended by themselves, instead of closing them
	Archive bool          // each room's log once it has ended, and replay every archive
	NewBot  func(seed uint64) netclient.Bot

	Progress func(what string, done, total int) // may be nil
}

// RoomsResult is the result of Rooms.
type RoomsResult struct {
	Rooms int    `json:"rooms"`
	Bots  int    `json:"bots"` // in each room
	Nodes int    `json:"nodes"`
	Data  string `json:"data,omitempty"` // the store, if it was kept

	CreateSeconds float64 `json:"create_s"` // until every room ran
	JoinSeconds   float64 `json:"join_s"`   // then until every bot was in its room
	PlaySeconds   float64 `json:"play_s"`   // that was measured
	SealSeconds   float64 `json:"seal_s"`   // until every room's end was listed

	Ticks   float64 `json:"ticks"`   // of all rooms while they played
	Late    float64 `json:"late"`    // ticks simulated a tick or more after they were due
	Skipped float64 `json:"skipped"` // ticks whose time was skipped
	Inputs  uint64  `json:"inputs"`  // that the bots sent
	Updates uint64  `json:"updates"` // that they saw
	Resumes uint64  `json:"resumes"`

	Sealed int `json:"sealed"`  // rooms whose end is listed
	ByGame int `json:"by_game"` // of these, the ones with a result

	ArchiveSeconds float64 `json:"archive_s,omitempty"` // then until every room was archived and its log removed
	ReplaySeconds  float64 `json:"replay_s,omitempty"`  // then until every archive was replayed
	Archived       int     `json:"archived,omitempty"`
	Replayed       int     `json:"replayed,omitempty"` // archives whose every checksum came out

	Parts []Cost `json:"processes"` // what each process took
}

// Cost is what one process takes: processors in cores, resident memory in MiB.
type Cost struct {
	Name           string  `json:"name"`
	CoresBefore    float64 `json:"cores_before"` // before there was a room
	Cores          float64 `json:"cores"`        // while the rooms played
	MiBBefore      float64 `json:"mib_before"`
	MiB            float64 `json:"mib"`
	PerRoomKiB     float64 `json:"kib_per_room"`     // the difference
	PerRoomPercent float64 `json:"percent_per_room"` // of a core
}

// part is a process under measurement.
type part struct {
	name string
	pid  int
	cpu  time.Duration
	Cost
}

// Rooms makes many rooms on several nodes of this machine, lets bots play in them until their time is over, and says what that
// takes. Servers, nodes and bots are processes of their own; the bots run in this one.
func Rooms(ctx context.Context, o RoomsOptions) (r RoomsResult, err error) {
	if _, _, err := usage(os.Getpid()); err != nil {
		return r, err // before anything is started
	}
	dir, err := os.MkdirTemp(o.Dir, "wind-bench-")
	if err != nil {
		return r, fmt.Errorf("bench: %w", err)
	}
	r = RoomsResult{Rooms: o.Rooms, Bots: o.Bots, Nodes: o.Nodes}
	if o.Keep {
		r.Data = filepath.Join(dir, "infra")
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	b := &roomsBench{o: o, dir: dir, r: &r}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.start(ctx); err != nil {
		return r, err
	}
	return r, b.run(ctx)
}

type roomsBench struct {
	o       RoomsOptions
	r       *RoomsResult
	dir     string
	parts   []*part
	procs   []*exec.Cmd
	http    []string
	cluster *node.Cluster
	rooms   []*rpc.Room
	fleets  []*fleet.Fleet
}

func (b *roomsBench) progress(what string, done, total int) {
	if b.o.Progress != nil {
		b.o.Progress(what, done, total)
	}
}

// start starts the servers and the nodes.
func (b *roomsBench) start(ctx context.Context) error {
	var urls struct{ NATS, Etcd string }
	out, err := b.spawn("infra", "infra", "--data", filepath.Join(b.dir, "infra"), "--nats-port", "0", "--etcd-port", "0", "--json")
	if err != nil {
		return err
	}
	if err := json.NewDecoder(out).Decode(&urls); err != nil {
		return fmt.Errorf("bench: the servers do not start: %w", err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if b.cluster, err = node.Connect(ctx, "dev", urls.NATS, urls.Etcd, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	for i := range b.o.Nodes {
		at, err := freeAddr()
		if err != nil {
			return err
		}
		args := []string{
			"serve", "--game", b.o.Game, "--shard", "", "--nats", urls.NATS, "--etcd", urls.Etcd, "--node", fmt.Sprintf("bench-%d", i+1),
			"--udp", "127.0.0.1:0", "--tcp", "", "--http", at, "--lease", "10s", "--log-level", "error",
			"--limit", "sessions-per-address=-1,joins-per-address=-1,connections-per-address=-1",
		}
		if b.o.Archive {
			args = append(args, "--archive", filepath.Join(b.dir, "archives"))
		}
		out, err := b.spawn(fmt.Sprintf("node %d", i+1), args...)
		if err != nil {
			return err
		}
		go func() { _, _ = io.Copy(io.Discard, out) }()
		b.http = append(b.http, at)
	}
	b.parts = append(b.parts, &part{name: "bots", pid: os.Getpid()})
	for _, at := range b.http {
		if err := b.await(ctx, "node "+at, func() bool { _, err := scrape(at); return err == nil }); err != nil {
			return err
		}
	}
	return nil
}

// spawn starts a process and returns its standard output.
func (b *roomsBench) spawn(name string, args ...string) (io.Reader, error) {
	c := exec.Command(b.o.Exe, args...)
	c.Stderr = &errorsOf{name: name}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("bench: %s: %w", name, err)
	}
	b.procs = append(b.procs, c)
	b.parts = append(b.parts, &part{name: name, pid: c.Process.Pid})
	return out, nil
}

// stop ends every process, the nodes before the servers.
func (b *roomsBench) stop() (err error) {
	for _, f := range b.fleets {
		f.Close()
	}
	if b.cluster != nil {
		err = b.cluster.Close()
	}
	for i := len(b.procs) - 1; i >= 0; i-- {
		c := b.procs[i]
		_ = c.Process.Signal(os.Interrupt)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = c.Wait() // it was interrupted, or killed
		}()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = c.Process.Kill()
			<-ended
			err = errors.Join(err, fmt.Errorf("bench: %s did not stop within a minute", strings.Join(c.Args[1:2], " ")))
		}
	}
	return err
}

func (b *roomsBench) run(ctx context.Context) error {
	if err := b.measure(ctx, 3*time.Second, func(p *part, cores, mib float64) { p.CoresBefore, p.MiBBefore = cores, mib }); err != nil {
		return err
	}
	began := time.Now()
	if err := b.create(ctx); err != nil {
		return err
	}
	b.r.CreateSeconds = time.Since(began).Seconds()
	began = time.Now()
	if err := b.join(ctx); err != nil {
		return err
	}
	b.r.JoinSeconds = time.Since(began).Seconds()

	before, err := b.counts()
	if err != nil {
		return err
	}
	played := b.played()
	if err := b.measure(ctx, b.o.For, func(p *part, cores, mib float64) { p.Cores, p.MiB = cores, mib }); err != nil {
		return err
	}
	after, err := b.counts()
	if err != nil {
		return err
	}
	b.r.Ticks, b.r.Late, b.r.Skipped = after.ticks-before.ticks, after.late-before.late, after.skipped-before.skipped
	now := b.played()
	b.r.PlaySeconds, b.r.Inputs, b.r.Updates, b.r.Resumes = b.o.For.Seconds(), now.Inputs-played.Inputs, now.Updates-played.Updates, now.Resumes
	for _, p := range b.parts {
		p.Name = p.name
		p.PerRoomKiB, p.PerRoomPercent = (p.MiB-p.MiBBefore)*1024/float64(b.o.Rooms), (p.Cores-p.CoresBefore)*100/float64(b.o.Rooms)
		b.r.Parts = append(b.r.Parts, p.Cost)
	}
	if err := b.end(ctx); err != nil || !b.o.Archive {
		return err
	}
	return b.archive(ctx)
}

const (
	asking = 32          // rooms that are asked for at once
	within = time.Minute // for one request
)

// create asks for the rooms and waits until all run.
func (b *roomsBench) create(ctx context.Context) error {
	b.rooms = make([]*rpc.Room, b.o.Rooms)
	keep := ""
	if b.o.Archive {
		keep = "archive"
	}
	return b.each(ctx, "rooms", asking, b.o.Rooms, func(i int) (err error) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		b.rooms[i], err = b.cluster.Rooms("").Create(ctx, rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: b.o.Game, Options: json.RawMessage(b.o.Options), Keep: keep, Key: fmt.Sprintf("bench-%d", i)}})
		return err
	})
}

// join lets the bots into their rooms.
func (b *roomsBench) join(ctx context.Context) error {
	if b.o.Bots == 0 {
		return nil
	}
	b.fleets = make([]*fleet.Fleet, b.o.Rooms)
	err := b.each(ctx, "rooms with bots", asking, b.o.Rooms, func(i int) (err error) {
		r := b.rooms[i]
		b.fleets[i], err = fleet.Start(ctx, fleet.Config{
			Addrs: []string{r.Addresses["udp"]}, Shard: r.ID, Count: b.o.Bots, Prefix: fmt.Sprintf("b%d", i), Seed: uint64(i * b.o.Bots),
			NewBot: b.o.NewBot, Ramp: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		})
		return err
	})
	var joined []*fleet.Fleet
	for _, f := range b.fleets {
		if f != nil {
			joined = append(joined, f)
		}
	}
	b.fleets = joined
	return err
}

// each calls f for 0 to n-1, several at a time, and returns the first error.
func (b *roomsBench) each(ctx context.Context, what string, several, n int, f func(i int) error) error {
	var mu sync.Mutex
	var failed error
	next, done := 0, 0
	var group sync.WaitGroup
	for range several {
		group.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := failed != nil || i >= n || ctx.Err() != nil
				mu.Unlock()
				if stop {
					return
				}
				err := f(i)
				mu.Lock()
				if failed == nil {
					failed = err
				}
				done++
				b.progress(what, done, n)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return errors.Join(failed, ctx.Err())
}

func (b *roomsBench) played() (sum fleet.Stats) {
	for _, f := range b.fleets {
		s := f.Stats()
		sum.Inputs, sum.Updates, sum.Resumes = sum.Inputs+s.Inputs, sum.Updates+s.Updates, sum.Resumes+s.Resumes
	}
	return sum
}

// measure measures what the processes take for a while.
func (b *roomsBench) measure(ctx context.Context, span time.Duration, note func(p *part, cores, mib float64)) error {
	for _, p := range b.parts {
		var err error
		if p.cpu, _, err = usage(p.pid); err != nil {
			return err
		}
	}
	began := time.Now()
	select {
	case <-time.After(span):
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, p := range b.parts {
		cpu, bytes, err := usage(p.pid)
		if err != nil {
			return err
		}
		note(p, (cpu-p.cpu).Seconds()/time.Since(began).Seconds(), float64(bytes)/(1<<20))
	}
	return nil
}

type roomCounts struct{ ticks, late, skipped float64 }

// counts sums up what the nodes count.
func (b *roomsBench) counts() (c roomCounts, err error) {
	for _, at := range b.http {
		m, err := scrape(at)
		if err != nil {
			return c, err
		}
		c.ticks, c.late, c.skipped = c.ticks+m["wind_room_ticks_total"], c.late+m["wind_room_ticks_late_total"], c.skipped+m["wind_room_ticks_skipped_total"]
	}
	return c, nil
}

// mostWait bounds how long Rooms waits for ends, or for archives.
const mostWait = 15 * time.Minute

// until asks for all rooms until enough of them are as they should be, or mostWait is over.
func (b *roomsBench) until(ctx context.Context, what string, right func(*rpc.Room) bool) (all []rpc.Room, err error) {
	for end := time.Now().Add(mostWait); ; {
		if all, err = b.cluster.Rooms("").List(ctx, rpc.RoomFilter{}); err != nil {
			return nil, err
		}
		n := 0
		for i := range all {
			if right(&all[i]) {
				n++
			}
		}
		b.progress(what, n, len(all))
		if n == len(all) || time.Now().After(end) {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// end closes the rooms that go on, or waits for their own ends, until the end of each is listed.
func (b *roomsBench) end(ctx context.Context) error {
	began := time.Now()
	ended := func(x *rpc.Room) bool { return x.End != nil }
	if !b.o.Wait {
		all, err := b.cluster.Rooms("").List(ctx, rpc.RoomFilter{})
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(x rpc.Room) bool { return ended(&x) })
		if err := b.each(ctx, "rooms closed", asking, len(all), func(i int) error {
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			_, err := b.cluster.Rooms("").Close(ctx, all[i].ID)
			return err
		}); err != nil {
			return err
		}
	}
	all, err := b.until(ctx, "rooms ended", ended)
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.End != nil {
			b.r.Sealed++
			if len(x.End.Result) > 0 {
				b.r.ByGame++
			}
		}
	}
	b.r.SealSeconds = time.Since(began).Seconds()
	return nil
}

// archive waits until every room is archived and its log is removed, and replays the archives.
func (b *roomsBench) archive(ctx context.Context) error {
	began := time.Now()
	all, err := b.until(ctx, "rooms archived", func(x *rpc.Room) bool { return x.State == string(room.Gone) })
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(x rpc.Room) bool { return x.State != string(room.Gone) || x.End.Archive == "" })
	b.r.Archived, b.r.ArchiveSeconds = len(all), time.Since(began).Seconds()
	began = time.Now()
	err = b.each(ctx, "archives replayed", runtime.NumCPU(), len(all), func(i int) error {
		out, err := exec.CommandContext(ctx, b.o.Exe, "replay", "--game", b.o.Game, "--file", all[i].End.Archive, "--verify").CombinedOutput()
		if err != nil {
			return fmt.Errorf("bench: replay of %s: %w: %s", all[i].End.Archive, err, bytes.TrimSpace(out))
		}
		return nil
	})
	if err == nil {
		b.r.Replayed = len(all)
	}
	b.r.ReplaySeconds = time.Since(began).Seconds()
	return err
}

// await waits until ok.
func (b *roomsBench) await(ctx context.Context, what string, ok func() bool) error {
	for end := time.Now().Add(time.Minute); !ok(); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("bench: %s does not answer", what)
		}
	}
	return nil
}

// scrape reads a node's metrics by name, without labels.
func scrape(at string) (map[string]float64, error) {
	c := http.Client{Timeout: 10 * time.Second}
	answer, err := c.Get("http://" + at + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer answer.Body.Close()
	m := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			name, _, _ = strings.Cut(name, "{")
			m[name] += v
		}
	}
	return m, nil
}

// freeAddr returns a loopback address that nothing listens on now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// errorsOf passes on the errors that a process reports, each with its name.
type errorsOf struct {
	name string
	rest bytes.Buffer
}

func (e *errorsOf) Write(b []byte) (int, error) {
	e.rest.Write(b)
	for {
		line, err := e.rest.ReadString('\n')
		if err != nil {
			e.rest.WriteString(line)
			return len(b), nil
		}
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			fmt.Fprintf(os.Stderr, "%s: %s", e.name, line)
		}
	}
}
