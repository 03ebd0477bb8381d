package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xtaci/kcp-go/v5"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/fleet"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// attackSpan is how long the hostile clients do their worst.
const attackSpan = 6 * time.Second

// TestHostileClientsMoveNobody lets every kind of misuse loose on a node in which bots play. Each hostile connection is
// ended with its reason or ignored; the bots miss nothing, the ticks come in their time, all of it is in the log.
func TestHostileClientsMoveNobody(t *testing.T) {
	dir := t.TempDir()
	data, trace := filepath.Join(dir, "data"), filepath.Join(dir, "seen.jsonl")
	addr, http := nodetest.Addr(t), nodetest.Addr(t)
	// What one address and one identity may take would keep most of this away; here the other bounds have to hold.
	server := wind(t, "serve", "--data", data, "--udp", addr, "--tcp", addr, "--http", http, "--monsters", fmt.Sprint(50/slowdown), "--json",
		"--limit", "sessions-per-address=-1", "--limit", "sessions-per-identity=-1", "--limit", "joins-per-identity=-1")
	server.owns(http, 1)
	bots := wind(t, "bots", "--addr", addr, "--count", "10", "--trace", trace, "--json")
	bots.until("plays", func() bool { return healthOf(http).Clients == 10 })
	before, begin := healthOf(http), time.Now()

	e := &eve{t: t, addr: addr, until: begin.Add(attackSpan)}
	var group sync.WaitGroup
	for _, attack := range []func(){
		e.garbagePackets, e.halfOpen,
		func() { e.again(e.tcp, e.garbage, wirepb.Reason_REASON_PROTOCOL, wirepb.Reason_REASON_FRAME_TOO_LARGE) },
		func() { e.again(e.kcp, e.garbage, wirepb.Reason_REASON_PROTOCOL, wirepb.Reason_REASON_FRAME_TOO_LARGE) },
		func() { e.again(e.tcp, e.oversized, wirepb.Reason_REASON_FRAME_TOO_LARGE) },
		func() { e.again(e.kcp, e.oversized, wirepb.Reason_REASON_FRAME_TOO_LARGE) },
		func() { e.again(e.tcp, e.flood, wirepb.Reason_REASON_TOO_MUCH) },
		func() { e.again(e.kcp, e.flood, wirepb.Reason_REASON_TOO_MUCH) },
		func() { e.again(e.tcpRaw, e.wrongShard, wirepb.Reason_REASON_WRONG_SHARD) },
	} {
		group.Go(attack)
	}
	group.Wait()
	after, span := healthOf(http), time.Since(begin)
	t.Logf("%d ticks in %.1f s; ended connections: %v", after.Tick-before.Tick, span.Seconds(), e.ended)
	if want := uint64(0.8 * 30 * span.Seconds()); after.Tick-before.Tick < want {
		t.Errorf("%d ticks in %s, at least %d were due", after.Tick-before.Tick, span, want)
	}
	if after.Epoch != before.Epoch || after.Phase != "own" {
		t.Errorf("the shard was %+v, it is %+v", before, after)
	}
	for _, r := range []wirepb.Reason{wirepb.Reason_REASON_FRAME_TOO_LARGE, wirepb.Reason_REASON_TOO_MUCH, wirepb.Reason_REASON_WRONG_SHARD, wirepb.Reason_REASON_HANDSHAKE_TIMEOUT} {
		if e.ended[r] == 0 {
			t.Errorf("no connection was ended with %v", r)
		}
	}

	late := run(t, 1, nil, "bots", "--addr", addr, "--shard", "nowhere", "--count", "1")
	if !strings.Contains(late.log(), `this node serves shard "main"`) || strings.Contains(late.log(), "\n") {
		t.Errorf("a bot in the wrong shard says: %s", late.log())
	}
	if code := bots.stop(); code != 0 {
		t.Fatalf("the bots end with %d", code)
	}
	var played fleet.Stats
	bots.result(&played)
	if played.Drops > 0 || played.Rejoins > 0 {
		t.Errorf("bots were dropped: %+v", played)
	}
	if code := server.stop(); code != 0 {
		t.Fatalf("the node ends with %d", code)
	}
	var result struct{ Ticks, Committed uint64 }
	server.result(&result)
	if result.Ticks != result.Committed {
		t.Errorf("%d ticks, %d committed", result.Ticks, result.Committed)
	}
	everythingSeenIsInTheLog(t, data, trace)
	for bot, saw := range ticksSeen(t, trace, before.Tick+1, after.Tick) {
		if due := int(after.Tick - before.Tick); saw < due*4/5 {
			t.Errorf("bot %d saw %d of %d ticks", bot, saw, due)
		}
	}
	run(t, 0, nil, "log", "check", "--data", data)
}

// ticksSeen counts, for each bot of a trace, the ticks that it saw from one to another.
func ticksSeen(t *testing.T, trace string, from, to uint64) map[int]int {
	t.Helper()
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type sight struct {
		bot  int
		tick uint64
	}
	once, seen := map[sight]bool{}, map[int]int{}
	for bot := range 10 {
		seen[bot] = 0
	}
	if err := fleet.ReadTrace(f, func(s fleet.Sight) error {
		if k := (sight{s.Bot, s.Tick}); s.Tick >= from && s.Tick <= to && !once[k] {
			once[k] = true
			seen[s.Bot]++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return seen
}

// eve attacks the node at an address until a moment. Her methods may run at once.
type eve struct {
	t     *testing.T
	addr  string
	until time.Time

	mu    sync.Mutex
	ended map[wirepb.Reason]int // connections, by the reason that they were given
}

func (e *eve) over() bool { return time.Now().After(e.until) }

// again attacks with one connection after the other; each has to end with one of the reasons.
func (e *eve) again(dial func() (*link, error), attack func(net.Conn), want ...wirepb.Reason) {
	for n := 0; !e.over() || n == 0; n++ {
		conn, err := dial()
		if err != nil {
			e.t.Error("cannot even connect:", err)
			return
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		attack(conn)
		got, err := conn.farewell()
		conn.Close()
		if err != nil || !slices.Contains(want, got) {
			e.t.Errorf("a connection ended with %v, %v, want %v", got, err, want)
			return
		}
		e.count(got)
		time.Sleep(50 * time.Millisecond)
	}
}

func (e *eve) count(r wirepb.Reason) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended == nil {
		e.ended = map[wirepb.Reason]int{}
	}
	e.ended[r]++
}

// tcpRaw is a connection that has said nothing.
func (e *eve) tcpRaw() (*link, error) {
	conn, err := net.Dial("tcp", e.addr)
	return &link{conn, frame.NewReader(frame.MaxFromServer)}, err
}

// tcp is a connection with a session.
func (e *eve) tcp() (*link, error) {
	l, err := e.tcpRaw()
	if err == nil {
		err = l.join()
	}
	return l, err
}

// kcp is a stock kcp-go client with a session.
func (e *eve) kcp() (*link, error) {
	conn, err := kcp.DialWithOptions(e.addr, nil, 0, 0)
	if err != nil {
		return nil, err
	}
	l := &link{conn, frame.NewReader(frame.MaxFromServer)}
	return l, l.join()
}

// link is a connection whose frames are read.
type link struct {
	net.Conn
	frames *frame.Reader
}

// join does the handshake of PROTOCOL.md.
func (l *link) join() error {
	_ = l.SetDeadline(time.Now().Add(patience))
	hello := &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "eve"}
	for {
		if _, err := l.Write(frame.AppendMessage(nil, wirepb.IDHello, hello)); err != nil {
			return err
		}
		id, payload, err := l.next(wirepb.IDChallenge, wirepb.IDWelcome, wirepb.IDBye)
		if err != nil || id == wirepb.IDWelcome {
			return err
		}
		var challenge wirepb.Challenge
		if id == wirepb.IDBye || proto.Unmarshal(payload, &challenge) != nil {
			return errors.New("not let in")
		}
		hello.Cookie = challenge.Cookie
	}
}

// next reads until a message with one of the ids comes.
func (l *link) next(ids ...uint32) (id uint32, payload []byte, err error) {
	b := make([]byte, 64<<10)
	for {
		id, payload, ok, err := l.frames.Next()
		if err != nil || ok && slices.Contains(ids, id) {
			return id, payload, err
		}
		if ok {
			continue
		}
		n, err := l.Read(b)
		l.frames.Feed(b[:n])
		if err != nil && n == 0 {
			return 0, nil, err
		}
	}
}

// farewell is the reason of the Bye that ends a connection.
func (l *link) farewell() (wirepb.Reason, error) {
	_, payload, err := l.next(wirepb.IDBye)
	var m wirepb.Bye
	if err == nil {
		err = proto.Unmarshal(payload, &m)
	}
	return m.Reason, err
}

func (e *eve) garbage(conn net.Conn) {
	b := make([]byte, 2000)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	_, _ = conn.Write(b)
}

func (e *eve) oversized(conn net.Conn) {
	head := binary.LittleEndian.AppendUint32(nil, wirepb.IDCommand)
	_, _ = conn.Write(binary.LittleEndian.AppendUint32(head, frame.MaxFromClient+1))
}

func (e *eve) wrongShard(conn net.Conn) {
	_, _ = conn.Write(frame.AppendMessage(nil, wirepb.IDHello, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "eve", Shard: "nowhere"}))
}

// flood sends 10,000 small frames, while the farewell is waited for.
func (e *eve) flood(conn net.Conn) {
	var b []byte
	for range 100 {
		b = frame.Append(b, wirepb.IDPing, nil)
	}
	go func() {
		for range 100 {
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	}()
}

// garbagePackets sends some 2,000 packets a second: noise, noise on the datagram lane, and KCP that opens nothing.
func (e *eve) garbagePackets() {
	var socks []net.Conn
	for range 8 {
		c, err := net.Dial("udp", e.addr)
		if err != nil {
			e.t.Error(err)
			return
		}
		defer c.Close()
		socks = append(socks, c)
	}
	for !e.over() {
		for _, c := range socks {
			b := make([]byte, 1+rand.IntN(1600))
			for i := range b {
				b[i] = byte(rand.Uint32())
			}
			switch rand.IntN(4) {
			case 0:
				clear(b[:min(4, len(b))])
			case 1:
				b = opening(rand.Uint32(), b[:min(900, len(b))])
			}
			_, _ = c.Write(b)
		}
		time.Sleep(4 * time.Millisecond)
	}
}

// opening is the first data segment of a KCP conversation.
func opening(conv uint32, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, conv)
	b = append(b, kcp.IKCP_CMD_PUSH, 0, 128, 0)
	b = append(b, make([]byte, 12)...) // ts, sn, una
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// halfOpen begins what it does not finish: TCP connections that say nothing, which the server ends, and KCP
// conversations that never answer the challenge.
func (e *eve) halfOpen() {
	var conns []*link
	for i := range 100 {
		conn, err := e.tcpRaw()
		if err != nil {
			e.t.Error(err)
			return
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = conn.Write([]byte{0xD1}) // the first byte of a Hello
		}
		conns = append(conns, conn)
	}
	hello := frame.AppendMessage(nil, wirepb.IDHello, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "eve"})
	c, err := net.Dial("udp", e.addr)
	if err != nil {
		e.t.Error(err)
		return
	}
	defer c.Close()
	for conv := range uint32(1000) {
		_, _ = c.Write(opening(conv+1, hello))
		if conv%50 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	for i, conn := range conns {
		_ = conn.SetDeadline(time.Now().Add(patience))
		got, err := conn.farewell()
		if err != nil || got != wirepb.Reason_REASON_HANDSHAKE_TIMEOUT {
			e.t.Error(fmt.Sprint("half-open connection ", i, " ended with ", got, ", ", err))
			return
		}
		e.count(got)
	}
}
