package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	player "github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/session"
	"github.com/ferris1/wind/netcode/wirepb"
)

// These tests measure how much one address can harm the others on a shard of the arena, with the limits of
// netcode.Limits. With WIND_LONG they run for 40 s, and also without the limits, for comparison.

// unbounded switches off the limits that stop these attacks.
var unbounded = netcode.Limits{
	ConnectionsPerAddress: -1, HalfOpenPerAddress: -1, SessionsPerAddress: -1, SessionsPerIdentity: -1,
	JoinsPerAddress: -1, JoinsPerIdentity: -1, LogBytesPerAddress: -1, LogBytesPerIdentity: -1,
}

// hostile runs a test with limits and, for comparison, without them.
func hostile(t *testing.T, f func(t *testing.T, c netcode.Limits, bounded bool, span time.Duration)) {
	span := 2 * time.Second
	if os.Getenv("WIND_LONG") != "" {
		span = 40 * time.Second
		t.Run("before", func(t *testing.T) { f(t, unbounded, false, span) })
	}
	t.Run("after", func(t *testing.T) { f(t, netcode.Limits{}, true, span) })
}

// target is a shard of the arena without a log. It counts the bytes that a log would get.
type target struct {
	door     *netcode.Door
	sessions *session.Sessions
	logBytes atomic.Int64
}

// envelope is the size of a one-tick record without its frame, in bytes; see persistence/FORMAT.md.
const envelope = 105 + 115

func serveArena(t *testing.T, l netcode.Limits) *target {
	t.Helper()
	w, err := ecs.New(arena.Game, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	d, err := netcode.Listen(netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Limits: l, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c := session.Config{Accounts: session.NewAccounts(l), Logger: quiet}
	if l == unbounded {
		c.SilenceTimeout = time.Hour
	}
	s, err := session.New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	s.Own(w, 1)
	x := &target{door: d, sessions: s}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var record []byte
		period := time.Second / arena.TickRate
		for next := time.Now().Add(period); ; next = next.Add(period) {
			select {
			case <-stop:
				return
			case <-time.After(time.Until(next)):
			}
			f := ecs.Frame{Tick: w.Tick() + 1}
			f.Commands = s.Latch(w, f.Tick, nil, 256<<10)
			w.Order(f.Tick, f.Commands)
			record = w.AppendFrame(record[:0], f)
			out := w.Step(f)
			s.Release(w, f.Tick, 1, []ecs.Output{out})
			x.logBytes.Add(int64(len(record) + envelope))
			if time.Since(next) > period {
				next = time.Now()
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done; d.Close() })
	return x
}

// others are honest clients; seen is how many ticks each has seen, on average.
func others(t *testing.T, x *target, n int) (seen func() float64) {
	var total atomic.Int64
	for i := range n {
		last := uint64(0)
		c, err := player.Dial(context.Background(), player.Config{
			Addr: x.door.UDPAddr().String(), Identity: fmt.Sprint("honest", i), Bot: arena.NewBot(uint64(i)),
			OnUpdate: func(u player.Update) {
				if u.Tick > last {
					last = u.Tick
					total.Add(1)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	return func() float64 { return float64(total.Load()) / float64(n) }
}

// rate returns the increase of seen per second.
func rate(seen func() float64, span time.Duration) float64 {
	from, start := seen(), time.Now()
	time.Sleep(span)
	return (seen() - from) / time.Since(start).Seconds()
}

// intruder connects from the attacker's address, joins and returns after its Welcome.
func intruder(x *target, identity string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, Timeout: time.Second}
	conn, err := d.Dial("tcp", x.door.TCPAddr().String())
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err = conn.Write(frame.AppendMessage(nil, wirepb.IDHello, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: identity})); err == nil {
		_, err = welcomed(conn)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// welcomed reads up to Welcome, or to the Bye sent instead of it.
func welcomed(conn net.Conn) (*wirepb.Welcome, error) {
	frames, b := frame.NewReader(frame.MaxFromServer), make([]byte, 16<<10)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return nil, err
		}
		frames.Feed(b[:n])
		for {
			id, payload, ok, err := frames.Next()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			switch id {
			case wirepb.IDWelcome:
				var m wirepb.Welcome
				return &m, proto.Unmarshal(payload, &m)
			case wirepb.IDBye:
				var m wirepb.Bye
				_ = proto.Unmarshal(payload, &m)
				return nil, fmt.Errorf("%v: %s", m.Reason, m.Text)
			}
		}
	}
}

// attack runs one of n attackers at a time in as many goroutines, until span is over.
func attack(span time.Duration, n int, f func(i int)) {
	var group sync.WaitGroup
	var next atomic.Int64
	end := time.Now().Add(span)
	for range n {
		group.Go(func() {
			for time.Now().Before(end) {
				f(int(next.Add(1)))
			}
		})
	}
	group.Wait()
}

func heapMB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse+m.StackInuse) / (1 << 20)
}

func TestAbandonedSessionsOfOneAddressDoNotTakeTheOthersTicks(t *testing.T) {
	hostile(t, func(t *testing.T, c netcode.Limits, bounded bool, span time.Duration) {
		x := serveArena(t, c)
		seen := others(t, x, 4)
		calm := rate(seen, time.Second)
		heap, from, start := heapMB(), seen(), time.Now()
		var mu sync.Mutex
		var abandoned []net.Conn
		refused := 0
		attack(span, 16, func(i int) {
			conn, err := intruder(x, fmt.Sprint("eve", i)) // abandoned: left open, never read or written again
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refused++
				return
			}
			abandoned = append(abandoned, conn)
		})
		t.Cleanup(func() {
			for _, conn := range abandoned {
				conn.Close()
			}
		})
		took := time.Since(start).Seconds()
		s, sessions, got := x.door.Stats(), x.sessions.Stats().Sessions, (seen()-from)/took
		t.Logf("%d sessions abandoned in %.0f s, %d attempts refused (%v); %d sessions now; %.0f MB more; the others see %.1f ticks a second, %.1f before",
			len(abandoned), took, refused, s.RefusedBy, sessions, heapMB()-heap, got, calm)
		if !bounded {
			return
		}
		if sessions > 256+4 {
			t.Errorf("one address has %d sessions", sessions-4)
		}
		if got == 0 {
			t.Errorf("the others see no ticks")
		}
		if span < 10*time.Second {
			return // the others' rate depends on what else this machine does
		}
		if got < calm/2 { // the attackers use this machine's time too
			t.Errorf("the others see %.1f ticks a second, %.1f before", got, calm)
		}
		if s.RefusedBy["REASON_ADDRESS_FULL"]+s.RefusedBy["REASON_TOO_MANY_JOINS"] == 0 {
			t.Errorf("nobody was refused: %v", s.RefusedBy)
		}
	})
}

func TestJoinAndLeaveInALoopDoesNotFillTheLog(t *testing.T) {
	hostile(t, func(t *testing.T, c netcode.Limits, bounded bool, span time.Duration) {
		if bounded {
			c.JoinsPerAddress = 60 // used up at once, so that even a short run shows the sustained rate
			if span > 10*time.Second {
				c.JoinsPerAddress = 0
			}
		}
		x := serveArena(t, c)
		others(t, x, 1)
		perSecond := rate(func() float64 { return float64(x.logBytes.Load()) }, time.Second)
		from, start := x.logBytes.Load(), time.Now()
		var joins atomic.Int64
		attack(span, 32, func(i int) {
			conn, err := intruder(x, fmt.Sprint("eve", i))
			if err != nil {
				return
			}
			joins.Add(1)
			_, _ = conn.Write(frame.AppendMessage(nil, wirepb.IDBye, &wirepb.Bye{Reason: wirepb.Reason_REASON_LEFT}))
			conn.Close()
		})
		took := time.Since(start).Seconds()
		more := (float64(x.logBytes.Load()-from)/took - perSecond) * 3600 / (1 << 20)
		t.Logf("%d joins in %.0f s; %.0f MiB of log an hour more", joins.Load(), took, more)
		if limit := c.JoinsPerAddress; bounded && limit > 0 && joins.Load() > int64(2*limit) {
			t.Errorf("%d joins in %.0f s with a limit of %d a minute", joins.Load(), took, limit)
		}
	})
}
