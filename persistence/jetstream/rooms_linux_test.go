package jetstream

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

var (
	roomsFlag   = flag.Int("rooms", 1000, "rooms of BenchmarkRooms")
	secondsFlag = flag.Int("rooms.seconds", 15, "for which they play")
)

// BenchmarkRooms lets rooms play, each with ten records and ten deltas of 300 bytes per second, in streams of their own
// and in partitions. Server and rooms are in this process: the figures are of both together.
func BenchmarkRooms(b *testing.B) {
	for _, layout := range []string{"own", "shared"} {
		b.Run(fmt.Sprintf("%s/%d", layout, *roomsFlag), func(b *testing.B) {
			for b.Loop() {
				playRooms(b, Options{Shared: layout == "shared", LogBytes: 16 << 20, DeltaBytes: 16 << 20})
			}
		})
	}
}

// playRoom is one room of the benchmark.
type playRoom struct {
	shard   *Shard
	w       *writer
	records []time.Duration
	deltas  []time.Duration
	late    int
}

func playRooms(b *testing.B, o Options) {
	c := connectTo(b, startServer(b, ServerConfig{Port: -1, MaxBytes: 1 << 42}))
	memory, files, goroutines := heap(), openFiles(), runtime.NumGoroutine()
	rooms := make([]playRoom, *roomsFlag)
	begun := time.Now()
	inParallel(len(rooms), func(i int) {
		r := &rooms[i]
		var err error
		if r.shard, err = Create(testContext(b), c, "dev", fmt.Sprintf("match-%06d", i), testLineage, o); err != nil {
			b.Error(err)
			return
		}
		r.w = newWriter()
		for range 2 {
			r.w.commit(b, r.shard)
		}
	})
	if b.Failed() {
		return
	}
	each := func(total float64, unit string) { b.ReportMetric(total/float64(len(rooms)), unit) }
	each(float64(time.Since(begun).Microseconds()), "create-µs/room")
	each(float64(heap()-memory)/1024, "idle-KiB/room")
	each(float64(openFiles()-files), "files/room")
	each(float64(runtime.NumGoroutine()-goroutines), "goroutines/room")

	end, cpu := time.Now().Add(time.Duration(*secondsFlag)*time.Second), processCPU()
	begun = time.Now()
	var group sync.WaitGroup
	for i := range rooms {
		phase := 100 * time.Millisecond * time.Duration(i) / time.Duration(len(rooms))
		group.Go(func() { rooms[i].play(b, phase, end) })
	}
	group.Wait()
	span := time.Since(begun)
	b.ReportMetric(100*(processCPU()-cpu).Seconds()/span.Seconds(), "cpu-%")
	each(float64(heap()-memory)/1024, "live-KiB/room")
	var records, deltas []time.Duration
	late := 0
	for i := range rooms {
		records, deltas, late = append(records, rooms[i].records...), append(deltas, rooms[i].deltas...), late+rooms[i].late
	}
	slices.Sort(records)
	slices.Sort(deltas)
	b.ReportMetric(float64(len(records))/span.Seconds(), "records/s")
	b.ReportMetric(float64(late)/float64(len(records))*100, "late-%")
	b.ReportMetric(float64(records[len(records)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(records[len(records)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(deltas[len(deltas)*99/100].Microseconds()), "delta-p99-µs")

	begun = time.Now()
	inParallel(len(rooms), func(i int) {
		rooms[i].shard.Close()
		s, err := Open(testContext(b), c, "dev", rooms[i].shard.ref.Shard, testLineage, o)
		if err == nil {
			_, err = s.log.Last(testContext(b))
			s.Close()
		}
		if err != nil {
			b.Error(err)
		}
	})
	each(float64(time.Since(begun).Microseconds()), "reopen-µs/room")
}

// play appends a record every 100 ms and publishes its delta.
func (r *playRoom) play(b *testing.B, phase time.Duration, end time.Time) {
	for due := time.Now().Add(phase); due.Before(end); due = due.Add(100 * time.Millisecond) {
		time.Sleep(time.Until(due))
		m, record, err := r.w.next()
		begun := time.Now()
		if begun.Sub(due) > 100*time.Millisecond {
			r.late++
		}
		if err == nil {
			err = r.shard.log.Append(b.Context(), m, r.w.chain.Seq())
		}
		if err != nil {
			b.Error(err)
			return
		}
		r.w.chain.Advance(record, persistence.HashOf(m.Body))
		stored := time.Now()
		r.records = append(r.records, stored.Sub(begun))
		if err := r.shard.deltas.Publish(b.Context(), []persistence.Delta{deltaOf(r.w.chain.Tick(), 300)}); err != nil {
			b.Error(err)
			return
		}
		r.deltas = append(r.deltas, time.Since(stored))
	}
}

// inParallel calls do for 0 to n-1, eight at a time.
func inParallel(n int, do func(i int)) {
	var group sync.WaitGroup
	turn := make(chan struct{}, 8)
	for i := range n {
		turn <- struct{}{}
		group.Go(func() { do(i); <-turn })
	}
	group.Wait()
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
