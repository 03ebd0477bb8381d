package jetstream

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// The benchmarks of this file measure how thousands of logs are laid out: a room appends ten records of 300 bytes per
// second, and publishes as many deltas, -rooms.deltas at once. Servers and rooms are in this process, so that the figures are of both together.
// -rooms says how many rooms there are, -rooms.replicas 3 has three servers keep three copies.
var (
	roomsFlag    = flag.Int("rooms", 1000, "rooms of the benchmarks of rooms")
	replicasFlag = flag.Int("rooms.replicas", 1, "copies of their streams: 1 or 3")
	atOnceFlag   = flag.Int("rooms.deltas", 1, "deltas that they publish at once")
	secondsFlag  = flag.Int("rooms.seconds", 15, "for which they play")
)

// BenchmarkRooms compares streams of their own with partitions: what rooms cost that have written two records and wait,
// what they cost while they play, how long their appends take, then a snapshot, and a successor's opening of each log.
//
//	go test ./persistence/jetstream -run '^$' -bench 'Rooms/own' -benchtime 1x -rooms 1000
//	go test ./persistence/jetstream -run '^$' -bench 'Rooms/shared' -benchtime 1x -rooms 4000 -rooms.deltas 32
//	go test ./persistence/jetstream -run '^$' -bench 'Rooms/shared' -benchtime 1x -rooms 1000 -rooms.replicas 3
func BenchmarkRooms(b *testing.B) {
	for _, layout := range []string{"own", "shared"} {
		b.Run(fmt.Sprintf("%s/R%d/%d", layout, *replicasFlag, *roomsFlag), func(b *testing.B) {
			for b.Loop() {
				p := newPlayground(b, b.TempDir())
				memory, files, goroutines := heap(), openFiles(), runtime.NumGoroutine()
				took := p.create(b, Options{Shared: layout == "shared", LogBytes: 16 << 20, DeltaBytes: 16 << 20})
				p.each(b, float64(took.Microseconds()), "create-µs/room")
				p.each(b, float64(heap()-memory)/1024, "idle-KiB/room")
				p.each(b, float64(openFiles()-files), "files/room")
				p.each(b, float64(runtime.NumGoroutine()-goroutines), "goroutines/room")

				cpu := processCPU()
				span := p.play(b, p.rooms, playTime())
				b.ReportMetric(100*(processCPU()-cpu).Seconds()/span.Seconds(), "cpu-%")
				p.each(b, float64(heap()-memory)/1024, "live-KiB/room")
				f := figuresOf(p.rooms)
				b.ReportMetric(float64(len(f.records))/span.Seconds(), "records/s")
				f.report(b, "")
				b.ReportMetric(micros(f.records), "p50-µs")
				b.ReportMetric(float64(f.deltas[len(f.deltas)*99/100].Microseconds()), "delta-p99-µs")
				b.ReportMetric(float64(p.deltaMessages(b))/span.Seconds(), "delta-messages/s")

				p.measure(b, "snapshot-µs/room", func(r *playRoom) error {
					s := snapshotOf(r.w)
					s.Body = s.Body[:10_000]
					return r.shard.snapshots.Put(testContext(b), s, nil)
				})
				p.measure(b, "reopen-µs/room", func(r *playRoom) error {
					r.shard.Close()
					return r.reopen(b, p.conn)
				})
			}
		})
	}
}

// BenchmarkRoomsRestart stops the server of rooms that have played, as one that ends and as one that is killed (without
// the index of its streams), and measures a start: the proof of all logs, the server itself, and the opening of each room.
//
//	go test ./persistence/jetstream -run '^$' -bench RoomsRestart -benchtime 1x -rooms 4000
func BenchmarkRoomsRestart(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		p := newPlayground(b, dir)
		if p.server == nil {
			b.Skip("three external servers start on their own")
		}
		p.create(b, Options{Shared: true})
		p.play(b, p.rooms, playTime())
		size, err := dirBytes(dir)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size>>20), "store-MiB")
		for _, killed := range []bool{false, true} {
			of := map[bool]string{true: "-killed"}[killed]
			for i := range p.rooms {
				p.rooms[i].shard.Close()
			}
			p.conn.Close()
			p.server.Close()
			if killed {
				withoutIndex(b, dir)
			}
			begun := time.Now()
			states, err := CheckStore(testContext(b), dir)
			if err != nil || len(states) != len(p.rooms) {
				b.Fatalf("%d logs of %d are proven: %v", len(states), len(p.rooms), err)
			}
			b.ReportMetric(float64(time.Since(begun).Milliseconds()), "check-ms"+of)
			begun = time.Now()
			p.server = startServer(b, ServerConfig{Dir: dir, Port: -1, MaxBytes: 1 << 42})
			b.ReportMetric(float64(time.Since(begun).Milliseconds()), "start-ms"+of)
			p.conn = connectTo(b, p.server)
			p.measure(b, "open-µs/room"+of, func(r *playRoom) error { return r.reopen(b, p.conn) })
		}
	}
}

// BenchmarkRoomsRemoved has one half of the rooms play for a while, and then go on while the other half ends and is
// removed, two rooms at a time as by a node. What the removals do to the others is the difference.
//
//	go test ./persistence/jetstream -run '^$' -bench RoomsRemoved -benchtime 1x -rooms 2000
//	go test ./persistence/jetstream -run '^$' -bench RoomsRemoved -benchtime 1x -rooms 1000 -rooms.replicas 3
func BenchmarkRoomsRemoved(b *testing.B) {
	for b.Loop() {
		p := newPlayground(b, b.TempDir())
		p.create(b, Options{Shared: true})
		half := len(p.rooms) / 2
		p.play(b, p.rooms, playTime())
		figuresOf(p.rooms[:half]).report(b, "-before")
		var over atomic.Bool
		var removed time.Duration
		var removing sync.WaitGroup
		removing.Go(func() {
			defer over.Store(true)
			begun := time.Now()
			inParallel(len(p.rooms)-half, 2, func(i int) {
				r := &p.rooms[half+i]
				err := r.append(b.Context(), &persistence.Record{Kind: persistence.KindSeal, Epoch: 1, Seal: &persistence.Seal{Node: "n1", Tick: r.w.chain.Tick(), Reason: persistence.EndIdle}})
				if err == nil {
					err = Remove(testContext(b), p.conn, r.shard.ref)
				}
				if err != nil {
					b.Error(err)
				}
			})
			removed = time.Since(begun)
		})
		p.play(b, p.rooms[:half], over.Load)
		removing.Wait()
		figuresOf(p.rooms[:half]).report(b, "-during")
		b.ReportMetric(float64(removed.Microseconds())/float64(len(p.rooms)-half), "remove-µs/room")
	}
}

// BenchmarkRoomsFull has one room write as fast as it can while the others play, until its share is full, and again
// after each purge of a half, four times. The figures are those of the rooms in its partition, before and meanwhile.
//
//	go test ./persistence/jetstream -run '^$' -bench RoomsFull -benchtime 1x -rooms 1000
func BenchmarkRoomsFull(b *testing.B) {
	for b.Loop() {
		p := newPlayground(b, b.TempDir())
		p.create(b, Options{Shared: true})
		greedy := &p.rooms[0]
		var beside, elsewhere []playRoom
		for _, r := range p.rooms[1:] {
			if r.shard.log.name == greedy.shard.log.name {
				beside = append(beside, r)
			} else {
				elsewhere = append(elsewhere, r)
			}
		}
		both := func(stop func() bool) {
			var group sync.WaitGroup
			group.Go(func() { p.play(b, elsewhere, stop) })
			p.play(b, beside, stop)
			group.Wait()
		}
		both(playTime())
		figuresOf(beside).report(b, "-before")
		var over atomic.Bool
		var filling sync.WaitGroup
		var purging time.Duration
		filling.Go(func() {
			defer over.Store(true)
			greedy.w.size = 64 << 10
			for range 4 {
				if err := greedy.fill(b.Context()); err != nil {
					b.Error(err)
					return
				}
				begun := time.Now()
				if err := greedy.shard.log.Purge(testContext(b), greedy.w.chain.Seq()-persistence.Seq(DefaultSharedBytes/2/greedy.w.size)); err != nil {
					b.Error(err)
					return
				}
				purging += time.Since(begun) / 4
			}
		})
		both(over.Load)
		filling.Wait()
		figuresOf(beside).report(b, "-during")
		figuresOf(elsewhere).report(b, "-elsewhere")
		b.ReportMetric(float64(purging.Milliseconds()), "purge-ms")
	}
}

// playground is a server, or three, with rooms.
type playground struct {
	server *Server // nil if there are three
	conn   *Conn
	rooms  []playRoom
}

// playRoom is one room of a benchmark, and how long its appends and deltas took since the last report.
type playRoom struct {
	shard   *Shard
	w       *writer
	records []time.Duration
	deltas  []time.Duration
	late    int // records that were begun a tick too late
	pending []persistence.Delta
}

func newPlayground(b *testing.B, dir string) *playground {
	p := &playground{rooms: make([]playRoom, *roomsFlag)}
	if *replicasFlag > 1 {
		p.conn = site{addrs: startCluster(b, 1<<42)}.connect(b, "")
	} else {
		p.server = startServer(b, ServerConfig{Dir: dir, Port: -1, MaxBytes: 1 << 42})
		p.conn = connectTo(b, p.server)
	}
	return p
}

// deltaMessages returns how many messages the rooms' deltas are in, those included that were dropped.
func (p *playground) deltaMessages(b *testing.B) (n uint64) {
	for i := range p.rooms {
		m, _, err := p.rooms[i].shard.deltas.last(testContext(b))
		if err != nil {
			b.Fatal(err)
		}
		n += m.num
	}
	return n
}

// create creates the rooms, eight at a time, each with its first two records.
func (p *playground) create(b *testing.B, o Options) time.Duration {
	o.Replicas = *replicasFlag
	begun := time.Now()
	inParallel(len(p.rooms), 8, func(i int) {
		r := &p.rooms[i]
		r.w = newWriterOf(Ref{"dev", fmt.Sprintf("match-%06d", i), testLineage})
		var err error
		r.shard, err = Create(testContext(b), p.conn, "dev", r.w.ref.Shard, testLineage, o)
		for range 2 {
			if err == nil {
				err = r.append(b.Context(), nil)
			}
		}
		if err != nil {
			b.Error(err)
		}
	})
	if b.Failed() {
		b.FailNow()
	}
	return time.Since(begun)
}

// each reports a figure per room.
func (p *playground) each(b *testing.B, total float64, unit string) {
	b.ReportMetric(total/float64(len(p.rooms)), unit)
}

// measure does something for each room, eight at a time, and reports how long it took for each.
func (p *playground) measure(b *testing.B, unit string, do func(r *playRoom) error) {
	begun := time.Now()
	inParallel(len(p.rooms), 8, func(i int) {
		if err := do(&p.rooms[i]); err != nil {
			b.Error(err)
		}
	})
	p.each(b, float64(time.Since(begun).Microseconds()), unit)
}

// playTime returns a function that says when rooms have played for long enough.
func playTime() (over func() bool) {
	end := time.Now().Add(time.Duration(*secondsFlag) * time.Second)
	return func() bool { return time.Now().After(end) }
}

// play lets rooms play, their ticks spread over the period. It returns for how long.
func (p *playground) play(b *testing.B, rooms []playRoom, over func() bool) time.Duration {
	begun := time.Now()
	var group sync.WaitGroup
	for i := range rooms {
		phase := tickTime * time.Duration(i) / time.Duration(len(rooms))
		group.Go(func() {
			if err := rooms[i].play(b.Context(), begun.Add(phase), over); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	return time.Since(begun)
}

const tickTime = 100 * time.Millisecond

// play appends a record in every period and publishes its delta, or those of several periods.
func (r *playRoom) play(ctx context.Context, due time.Time, over func() bool) error {
	r.w.size = 200
	for ; !over(); due = due.Add(tickTime) {
		time.Sleep(time.Until(due))
		begun := time.Now()
		if begun.Sub(due) > tickTime {
			r.late++
		}
		if err := r.append(ctx, nil); err != nil {
			return err
		}
		stored := time.Now()
		r.records = append(r.records, stored.Sub(begun))
		if r.pending = append(r.pending, deltaOf(r.w.chain.Tick(), 300)); len(r.pending) < *atOnceFlag {
			continue
		}
		if err := r.shard.deltas.Publish(ctx, r.pending); err != nil {
			return err
		}
		r.pending = r.pending[:0]
		r.deltas = append(r.deltas, time.Since(stored))
	}
	return nil
}

// append appends a record, or the writer's next one.
func (r *playRoom) append(ctx context.Context, rec *persistence.Record) (err error) {
	var m persistence.Message
	if rec == nil {
		m, rec, err = r.w.next()
	} else {
		m, err = r.w.chain.Link(rec, nil)
	}
	if err == nil {
		err = r.shard.log.Append(ctx, m, r.w.chain.Seq())
	}
	if err == nil {
		r.w.chain.Advance(rec, persistence.HashOf(m.Body))
	}
	return err
}

// fill appends records until the room's share is full.
func (r *playRoom) fill(ctx context.Context) error {
	for {
		if err := r.append(ctx, nil); err != nil {
			if e, extentErr := r.shard.log.Extent(ctx); extentErr == nil && e.Used > e.Limit*9/10 {
				return nil
			}
			return err
		}
	}
}

// reopen opens the room as its next owner does, and looks for its end.
func (r *playRoom) reopen(b *testing.B, c *Conn) (err error) {
	if r.shard, err = Open(testContext(b), c, "dev", r.w.ref.Shard, testLineage, Options{Shared: r.shard.log.shared()}); err != nil {
		return err
	}
	b.Cleanup(r.shard.Close)
	last, err := r.shard.log.Last(testContext(b))
	if err == nil && last != r.w.chain.Seq() {
		err = fmt.Errorf("%s ends with record %d, not %d", r.w.ref.Shard, last, r.w.chain.Seq())
	}
	if err == nil {
		_, err = r.shard.snapshots.List(testContext(b))
	}
	return err
}

// figures are those of several rooms.
type figures struct {
	records, deltas []time.Duration // ascending
	late            int
}

// figuresOf takes the rooms' figures, so that the next ones are of what follows.
func figuresOf(rooms []playRoom) (f figures) {
	for i := range rooms {
		r := &rooms[i]
		f.records, f.deltas, f.late = append(f.records, r.records...), append(f.deltas, r.deltas...), f.late+r.late
		r.records, r.deltas, r.late = nil, nil, 0
	}
	slices.Sort(f.records)
	slices.Sort(f.deltas)
	return f
}

func (f figures) report(b *testing.B, of string) {
	if len(f.records) == 0 {
		b.Fatal("no room has played")
	}
	b.ReportMetric(float64(f.late)/float64(len(f.records))*100, "late-%"+of)
	b.ReportMetric(float64(f.records[len(f.records)*99/100].Microseconds()), "p99-µs"+of)
	b.ReportMetric(float64(f.records[len(f.records)-1].Microseconds()), "max-µs"+of)
}

// inParallel calls do for 0 to n-1, several at a time.
func inParallel(n, atOnce int, do func(i int)) {
	var group sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for i := range n {
		turn <- struct{}{}
		group.Go(func() { do(i); <-turn })
	}
	group.Wait()
}

// withoutIndex removes the indexes that a server writes when it stops: one that was killed has none, or an old one.
func withoutIndex(b *testing.B, store string) {
	err := filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "index.db" {
			err = os.Remove(path)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// heap returns the bytes of live objects and stacks.
func heap() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func processCPU() time.Duration {
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func openFiles() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}
