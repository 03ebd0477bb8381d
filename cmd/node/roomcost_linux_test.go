package node

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// TestWhatAnIdleRoomCosts measures a node with WIND_ROOMS idle rooms of the arena: memory, goroutines and processor time per room, the
// servers' own apart if WIND_NATS and WIND_ETCD name some in other processes. Profiles go to WIND_PROFILES.
func TestWhatAnIdleRoomCosts(t *testing.T) {
	count, _ := strconv.Atoi(os.Getenv("WIND_ROOMS"))
	if count == 0 {
		t.Skip("WIND_ROOMS says how many rooms: a measurement, not a test")
	}
	options := os.Getenv("WIND_ROOM_OPTIONS")
	if options == "" {
		options = `{"monsters":0,"tick-rate":10}`
	}
	n := startRooms(t, func(c *Config) {
		c.Game, c.Capacity = arena.Game, 1e6
		c.NATS, c.Etcd = os.Getenv("WIND_NATS"), os.Getenv("WIND_ETCD")
		if c.NATS != "" {
			c.Data = ""
		}
	})
	settle := func() {
		for range 8 { // each halves a stack
			runtime.GC()
			time.Sleep(100 * time.Millisecond)
		}
	}
	memory := func() (heap, all uint64) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse, m.StackInuse
	}
	settle()
	heap, stacks := memory()
	rss := resident()
	goroutines := runtime.NumGoroutine()
	began := time.Now()
	for i := range count {
		key := fmt.Sprint("cost-", i)
		spec := room.Spec{Game: "arena", Options: []byte(options), Key: key, Seed: 1, At: time.Now()}
		if _, _, err := etcd.CreateRoom(soon(t), n.cluster.Etcd, n.cluster.Name, room.ID(n.cluster.Name, key), spec); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); n.RoomStats().Hosted < count || n.roomTick(room.ID(n.cluster.Name, fmt.Sprint("cost-", count-1))) == 0; {
		if time.Sleep(100 * time.Millisecond); time.Now().After(deadline) {
			t.Fatalf("%+v", n.RoomStats())
		}
	}
	t.Logf("%d rooms run after %v", count, time.Since(began).Round(time.Millisecond))
	time.Sleep(5 * time.Second) // until they doze
	settle()
	heap2, stacks2 := memory()
	per := func(a, b uint64) float64 { return float64(int64(b)-int64(a)) / float64(count) / 1024 }
	t.Logf("an idle room uses %.1f KiB of heap and stacks (stacks: %.1f KiB) and %.1f goroutines; resident: %.1f KiB", per(heap, heap2), per(stacks, stacks2), float64(runtime.NumGoroutine()-goroutines)/float64(count), per(rss, resident()))
	if dir := os.Getenv("WIND_PROFILES"); dir != "" {
		f, err := os.Create(filepath.Join(dir, "heap.pprof"))
		if err == nil {
			err = pprof.WriteHeapProfile(f)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if f, err = os.Create(filepath.Join(dir, "goroutines.txt")); err == nil {
			err = pprof.Lookup("goroutine").WriteTo(f, 1)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if f, err = os.Create(filepath.Join(dir, "cpu.pprof")); err != nil {
			t.Fatal(err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		defer pprof.StopCPUProfile()
	}
	before, since := spent(), time.Now()
	time.Sleep(20 * time.Second)
	cpu := (spent() - before).Seconds() / time.Since(since).Seconds() / float64(count)
	t.Logf("an idle room uses %.4f %% of a core; the node counts %.3f ms per second", 100*cpu, n.RoomStats().Used/float64(count))
}

// resident returns the bytes of memory that this process has.
func resident() uint64 {
	b, _ := os.ReadFile("/proc/self/statm")
	var all, pages uint64
	_, _ = fmt.Sscan(string(b), &all, &pages)
	return pages * uint64(os.Getpagesize())
}

// spent returns the processor time that this process has taken.
func spent() time.Duration {
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
