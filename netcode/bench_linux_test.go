package netcode_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/replication"
	"github.com/ferris1/wind/netcode/session"
)

// The load of the published comparison: 30 inputs of some 64 bytes up and 30
// updates of some 400 bytes down, per session and second.
type (
	crowdMember struct {
		X, Y float64 `wind:"q=0.01,range=-1000..1000"`
	}
	crowdSpawn struct{ M crowdMember }
	crowdAim   struct{ X, Y, Z, W float64 }
	crowdRow   struct{ M *crowdMember }
)

const crowdSize = 100

var crowd = ecs.Game{Name: "crowd", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Component[crowdMember](w, "member")
	ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[crowdSpawn]) {
		for i := range crowdSize {
			s.New(crowdSpawn{crowdMember{X: float64(i), Y: float64(-i)}})
		}
	})
	ecs.Handle[crowdAim](w, "aim", func(*ecs.Tick, *ecs.Cmd[crowdAim]) {}, ecs.Sampled)
	ecs.System(w, "move", func(t *ecs.Tick, q *ecs.Query[crowdRow]) {
		for r := range q.Each {
			r.M.X += 0.05
			r.M.Y -= 0.05
		}
	})
}}

// crowdReport is what the server process reports about itself.
type crowdReport struct {
	Addr       string
	CPU        float64 // seconds since its start
	HeapBytes  uint64
	Goroutines int
	Ticks      uint64
	Late       int
	TickWorst  time.Duration
	Stats      stats
}

// everyoneHere allows one address all sessions. Bytes are still counted, as on a
// production server.
var everyoneHere = netcode.Limits{
	ConnectionsPerAddress: -1, HalfOpenPerAddress: -1, SessionsPerAddress: -1, SessionsPerIdentity: -1,
	JoinsPerAddress: -1, JoinsPerIdentity: -1, LogBytesPerAddress: 1 << 30,
}

// crowdServer serves until its input ends. It is a separate process on one core,
// so that its CPU time does not mix with the clients'.
func crowdServer() {
	runtime.GOMAXPROCS(1)
	w, err := ecs.New(crowd, ecs.Config{})
	if err != nil {
		panic(err)
	}
	d, err := netcode.Listen(netcode.Config{UDP: "127.0.0.1:0", Limits: everyoneHere})
	if err != nil {
		panic(err)
	}
	defer d.Close()
	s, err := session.New(d, session.Config{MaxSessions: 8192, Accounts: session.NewAccounts(everyoneHere), Replication: replication.Config{BudgetBytes: 1120}})
	if err != nil {
		panic(err)
	}
	s.Own(w, 1)
	if path := os.Getenv("WIND_CROWD_PROFILE"); path != "" {
		if f, err := os.Create(path); err == nil {
			_ = pprof.StartCPUProfile(f)
			defer pprof.StopCPUProfile()
		}
	}
	ask := make(chan struct{})
	go func() {
		defer close(ask)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			ask <- struct{}{}
		}
	}()
	var commands []ecs.Command
	var r crowdReport
	next := time.Now()
	for {
		select {
		case _, ok := <-ask:
			if !ok {
				return
			}
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			var use syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
			r.Addr, r.Stats, r.Goroutines, r.HeapBytes = d.UDPAddr().String(), server{d, s}.Stats(), runtime.NumGoroutine(), mem.HeapInuse+mem.StackInuse
			r.CPU = time.Duration(use.Utime.Nano() + use.Stime.Nano()).Seconds()
			_ = json.NewEncoder(os.Stdout).Encode(r)
		case <-time.After(time.Until(next)):
			if late := time.Since(next); late > time.Second/60 {
				r.Late++
				next = time.Now()
			}
			next = next.Add(time.Second / 30)
			start := time.Now()
			f := ecs.Frame{Tick: w.Tick() + 1}
			commands = s.Latch(w, f.Tick, commands[:0], 1<<20)
			f.Commands = commands
			w.Order(f.Tick, f.Commands)
			out := w.Step(f)
			s.Release(w, f.Tick, 1, []ecs.Output{out})
			r.Ticks++
			r.TickWorst = max(r.TickWorst, time.Since(start))
		}
	}
}

func init() {
	if os.Getenv("WIND_CROWD_SERVER") != "" {
		crowdServer()
		os.Exit(0)
	}
}

// BenchmarkSessions measures how much of a core the server uses for n sessions.
// The clients share the machine, so look at cpu%, the server's own share, not at
// ns/op.
func BenchmarkSessions(b *testing.B) {
	for _, n := range []int{100, 500, 1000, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchSessions(b, n) })
	}
}

func benchSessions(b *testing.B, n int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WIND_CROWD_SERVER=1")
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer in.Close()
	answers := json.NewDecoder(out)
	report := func() (r crowdReport) {
		fmt.Fprintln(in)
		if err := answers.Decode(&r); err != nil {
			b.Fatal(err)
		}
		return r
	}
	empty := report()
	schema, err := ecs.SchemaOf(crowd, ecs.Config{})
	if err != nil {
		b.Fatal(err)
	}
	const swarms = 2
	var group sync.WaitGroup
	stop := make(chan struct{})
	var ready atomic.Int64
	for range swarms {
		group.Go(func() {
			if err := newSwarm(empty.Addr, n/swarms, schema, &ready).run(stop); err != nil {
				b.Error(err)
			}
		})
	}
	for deadline := time.Now().Add(30 * time.Second); ready.Load() < int64(n/swarms*swarms); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d sessions after 30 s", ready.Load(), n)
		}
	}
	time.Sleep(time.Second)
	before := report()
	start := time.Now()
	for b.Loop() {
		time.Sleep(3 * time.Second)
	}
	after := report()
	took := time.Since(start).Seconds()
	session := took * float64(n)
	b.ReportMetric((after.CPU-before.CPU)/took*100, "cpu%")
	b.ReportMetric(float64(after.Stats.Inputs-before.Stats.Inputs)/session, "inputs/s/session")
	b.ReportMetric(float64(after.Stats.BytesOut-before.Stats.BytesOut)/session, "B-out/s/session")
	b.ReportMetric(float64(after.Stats.BytesIn-before.Stats.BytesIn)/session, "B-in/s/session")
	b.ReportMetric(float64(after.HeapBytes-empty.HeapBytes)/float64(n)/1024, "KiB/session")
	b.ReportMetric(float64(after.Ticks-before.Ticks)/took, "ticks/s")
	b.ReportMetric(float64(after.Late-before.Late), "late-ticks")
	b.ReportMetric(float64(after.Stats.InputsLate-before.Stats.InputsLate)/float64(max(1, after.Stats.Inputs-before.Stats.Inputs))*100, "late%")
	close(stop)
	group.Wait()
}
