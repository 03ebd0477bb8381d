package netcode_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/xtaci/kcp-go/v5"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// undisturbed plays with one honest client while attack runs, and fails if
// that client misses more than one tick in five, or its connection.
func undisturbed(t *testing.T, h *host, cfg client.Config, attack func()) {
	t.Helper()
	var mu sync.Mutex
	seen := map[uint64]bool{}
	cfg.Identity = "honest"
	cfg.OnUpdate = func(u client.Update) {
		mu.Lock()
		defer mu.Unlock()
		seen[u.Tick] = true
	}
	c := dial(t, cfg)
	_ = c.SetInput(client.Do("steer", Steer{X: 0.1}))
	ticks := func() (made, got int) {
		h.mu.Lock()
		made = len(h.checksums)
		h.mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		return made, len(seen)
	}
	eventually(t, "updates come", func() bool { _, got := ticks(); return got > 5 })
	made, got := ticks()
	attack()
	eventually(t, "30 more ticks", func() bool { now, _ := ticks(); return now >= made+30 })
	send(t, c, 1)
	nowMade, nowGot := ticks()
	if nowGot-got < (nowMade-made)*4/5 {
		t.Errorf("the honest client saw %d of %d ticks", nowGot-got, nowMade-made)
	}
	if s := c.Stats(); s.Drops > 0 {
		t.Errorf("the honest client was dropped: %+v", s)
	}
	late, worst := h.tally()
	t.Logf("%d of %d ticks late by more than half a tick, longest gap %v", late, nowMade, worst)
}

// farewell returns the reason in the Bye that ends a stream.
func farewell(t *testing.T, r io.Reader) wirepb.Reason {
	t.Helper()
	b := make([]byte, 4096)
	frames := frame.NewReader(frame.MaxFromServer)
	for {
		n, err := r.Read(b)
		frames.Feed(b[:n])
		for {
			id, payload, ok, ferr := frames.Next()
			if ferr != nil {
				t.Fatal(ferr)
			}
			if !ok {
				break
			}
			if id == wirepb.IDBye {
				var m wirepb.Bye
				if err := proto.Unmarshal(payload, &m); err != nil {
					t.Fatal(err)
				}
				return m.Reason
			}
		}
		if err != nil {
			t.Fatalf("no Bye: %v", err)
		}
	}
}

func both(t *testing.T) (*host, client.Config) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", MaxHalfOpen: 32, HandshakeTimeout: time.Minute}, &memory{}, 1)
	return h, client.Config{Addr: h.server.UDPAddr().String()}
}

// hostileStream opens a stream to the server over each transport.
func hostileStream(t *testing.T, h *host, attack func(t *testing.T, conn net.Conn)) {
	t.Run("tcp", func(t *testing.T) {
		conn, err := net.Dial("tcp", h.server.TCPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		attack(t, conn)
	})
	t.Run("kcp", func(t *testing.T) {
		s := dialStock(t, h)
		s.join(nil)
		_ = s.conn.SetDeadline(time.Now().Add(20 * time.Second))
		attack(t, s.conn)
	})
}

func TestOversizedFrameEndsOnlyItsConnection(t *testing.T) {
	h, cfg := both(t)
	undisturbed(t, h, cfg, func() {
		hostileStream(t, h, func(t *testing.T, conn net.Conn) {
			b := binary.LittleEndian.AppendUint32(nil, wirepb.IDInput)
			_, _ = conn.Write(binary.LittleEndian.AppendUint32(b, 1<<30))
			if got := farewell(t, conn); got != wirepb.Reason_REASON_FRAME_TOO_LARGE {
				t.Errorf("ended with %v", got)
			}
		})
	})
}

func TestTooManyFramesEndOnlyTheirConnection(t *testing.T) {
	h, cfg := both(t)
	undisturbed(t, h, cfg, func() {
		hostileStream(t, h, func(t *testing.T, conn net.Conn) {
			var b []byte
			for range 100 {
				b = frame.Append(b, wirepb.IDPing, nil)
			}
			go func() {
				for range 60 { // 48 KB: too many frames, not too many bytes
					if _, err := conn.Write(b); err != nil {
						return
					}
				}
			}()
			if got := farewell(t, conn); got != wirepb.Reason_REASON_TOO_MUCH {
				t.Errorf("ended with %v", got)
			}
		})
	})
}

func TestGarbageOnAStreamEndsOnlyItsConnection(t *testing.T) {
	h, cfg := both(t)
	undisturbed(t, h, cfg, func() {
		hostileStream(t, h, func(t *testing.T, conn net.Conn) {
			rng := rand.New(rand.NewPCG(1, 1))
			b := make([]byte, 1000)
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			_, _ = conn.Write(b)
			got := farewell(t, conn)
			if got != wirepb.Reason_REASON_PROTOCOL && got != wirepb.Reason_REASON_FRAME_TOO_LARGE {
				t.Errorf("ended with %v", got)
			}
		})
	})
}

func TestFloodOfGarbagePacketsIsIgnored(t *testing.T) {
	h, cfg := both(t)
	undisturbed(t, h, cfg, func() {
		rng := rand.New(rand.NewPCG(1, 2))
		var socks []*net.UDPConn
		for range 16 {
			c, err := net.DialUDP("udp", nil, h.server.UDPAddr().(*net.UDPAddr))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			socks = append(socks, c)
		}
		opening := kcpPush(7, frame.AppendMessage(nil, wirepb.IDHello, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "eve"}))
		for range 400 {
			for _, c := range socks {
				b := make([]byte, 1+rng.IntN(1600))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				switch rng.IntN(4) {
				case 0:
					clear(b[:min(4, len(b))]) // the datagram lane
				case 1:
					copy(b, opening) // KCP with a body that makes no sense
				}
				_, _ = c.Write(b)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	s := h.server.Stats()
	if s.PacketsIgnored < 1000 {
		t.Errorf("%d packets were ignored", s.PacketsIgnored)
	}
	if s.Sessions != 1 {
		t.Errorf("garbage opened %d sessions", s.Sessions-1)
	}
}

// kcpPush returns the first data segment of a conversation.
func kcpPush(conv uint32, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, conv)
	b = append(b, kcp.IKCP_CMD_PUSH, 0, 128, 0)
	b = append(b, make([]byte, 12)...) // ts, sn, una
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func TestHalfOpenConnectionsKeepNobodyOut(t *testing.T) {
	h, cfg := both(t)
	hello := frame.AppendMessage(nil, wirepb.IDHello, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "eve"})
	undisturbed(t, h, cfg, func() {
		c, err := net.DialUDP("udp", nil, h.server.UDPAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for conv := range uint32(2000) {
			_, _ = c.Write(kcpPush(conv+1, hello))
			if conv%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		for range 100 {
			if conn, err := net.Dial("tcp", h.server.TCPAddr().String()); err == nil {
				defer conn.Close()
			}
		}
		// A client that proves its address still gets in.
		dial(t, client.Config{Addr: cfg.Addr, Identity: "late"})
		if refused := h.server.Stats().RefusedBy["REASON_FULL"]; refused < 1900 {
			t.Errorf("%d connections were refused", refused)
		}
	})
}

func TestAnUnprovenAddressGetsNoMoreThanItSends(t *testing.T) {
	h, _ := both(t)
	var group sync.WaitGroup
	defer group.Wait()
	for name, packet := range map[string][]byte{
		"a hello":                  kcpPush(77, frame.AppendMessage(nil, wirepb.IDHello, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "eve"})),
		"a packet of no session":   kcpPush(78, nil),
		"a knock":                  frame.AppendKnock(nil, 1),
		"a short knock":            frame.AppendKnock(nil, 1)[:40],
		"a message of no session":  append(frame.AppendMessageHeader(nil, wirepb.IDAck, 5), 1),
		"a hello with another end": kcpPush(79, []byte{0xD1, 7, 0, 0, 0xFF, 0, 0, 0, 1}),
	} {
		c, err := net.DialUDP("udp", nil, h.server.UDPAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			defer c.Close()
			_, _ = c.Write(packet)
			in, out := len(packet), 0
			b := make([]byte, 2048)
			_ = c.SetReadDeadline(time.Now().Add(1500 * time.Millisecond)) // long enough for repeats
			for {
				n, err := c.Read(b)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					break
				}
				if err != nil {
					t.Error(err)
					return
				}
				out += n
			}
			if out > in {
				t.Errorf("%s: %d bytes brought %d", name, in, out)
			}
		})
	}
}
