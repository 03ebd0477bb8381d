package netcode_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// mirror is a gateway that answers a call with the call's payload, and any other
// message with times copies of it.
type mirror struct {
	times int

	mu     sync.Mutex
	open   map[*reflection]bool
	opened int
	closed map[*reflection]int // how often Closed was called on each
}

func newMirror() *mirror {
	return &mirror{times: 1, open: map[*reflection]bool{}, closed: map[*reflection]int{}}
}

type reflection struct {
	m *mirror
	c *netcode.Conn
}

func (m *mirror) Opened(c *netcode.Conn) netcode.Stream {
	r := &reflection{m, c}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[r] = true
	m.opened++
	return r
}

func (r *reflection) Receive(id uint32, payload []byte) {
	switch {
	case id == wirepb.IDOpen:
		r.c.SendFrame(wirepb.IDOpened, nil)
	case id&wirepb.IDCall != 0:
		r.c.SendFrame(id, payload[:4], payload[8:])
	default:
		for range r.m.times {
			r.c.Send(frame.Append(nil, id, payload))
		}
	}
}

func (r *reflection) Text(message []byte) { r.c.SendText(message) }

func (r *reflection) Closed() {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.closed[r]++
	delete(r.m.open, r)
}

// ended reports whether every stream was closed exactly once.
func (m *mirror) ended(t testing.TB, want int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.closed {
		if n != 1 {
			t.Fatalf("a stream was closed %d times", n)
		}
	}
	return len(m.open) == 0 && m.opened == want
}

func reflecting(t *testing.T, change func(*netcode.Config)) (*netcode.Door, *mirror) {
	t.Helper()
	m := newMirror()
	cfg := netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Gateway: m, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	s, err := netcode.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, m
}

func overHTTP(t testing.TB, s *netcode.Door) string {
	h := httptest.NewServer(s.WebSocket())
	t.Cleanup(h.Close)
	return "ws" + strings.TrimPrefix(h.URL, "http")
}

func dialRPC(t testing.TB, cfg client.RPCConfig) *client.RPC {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := client.DialRPC(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// three lists the transports to a server.
func three(t testing.TB, s *netcode.Door) map[string]client.RPCConfig {
	return map[string]client.RPCConfig{
		"tcp":       {Addr: s.TCPAddr().String(), Transport: client.TCP},
		"kcp":       {Addr: s.UDPAddr().String(), Transport: client.UDP},
		"websocket": {Addr: overHTTP(t, s), Transport: client.WebSocket},
	}
}

func calls(t testing.TB, c *client.RPC, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for i := range n {
		want := fmt.Sprint("call ", i)
		id, got, err := c.CallRaw(ctx, 1201, []byte(want))
		if id != 1201 || string(got) != want || err != nil {
			t.Fatalf("call %d got %d, %q, %v", i, id, got, err)
		}
	}
}

func TestOnePortTakesAShardsClientsAndRPC(t *testing.T) {
	m := newMirror()
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Gateway: m}, &memory{}, 1)
	for name, cfg := range three(t, h.server.Door) {
		t.Run(name, func(t *testing.T) {
			player := dial(t, client.Config{Addr: cfg.Addr, Transport: cfg.Transport, Identity: name})
			c := dialRPC(t, cfg)
			calls(t, c, 20)
			if r := send(t, player, 5); r.Rejected {
				t.Errorf("%+v", r)
			}
			eventually(t, "the update", func() bool { b, _, ok := body(player); return ok && b.Sum == 5 })
			calls(t, c, 20)
		})
	}
	if s := h.server.Stats(); s.Clients > 3 || s.GatewayOpened != 3 {
		t.Errorf("%+v", s)
	}
}

func TestRPCIsRefusedWhileNobodyTakesIt(t *testing.T) {
	s, m := reflecting(t, func(c *netcode.Config) { c.Gateway = nil })
	refused := func() wirepb.Reason {
		conn, err := net.Dial("tcp", s.TCPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = conn.Write(frame.Append(nil, 1001, nil))
		return farewell(t, conn)
	}
	if got := refused(); got != wirepb.Reason_REASON_PROTOCOL {
		t.Errorf("ended with %v", got)
	}
	s.SetGateway(m)
	for _, cfg := range three(t, s) {
		calls(t, dialRPC(t, cfg), 3)
	}
	s.SetGateway(nil)
	if got := refused(); got != wirepb.Reason_REASON_PROTOCOL {
		t.Errorf("ended with %v", got)
	}
}

func TestRPCIsToldToComeAgainWhileTheGatewayStarts(t *testing.T) {
	s, m := reflecting(t, func(c *netcode.Config) { c.Gateway, c.GatewayLater = nil, true })
	for way, cfg := range three(t, s) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_, err := client.DialRPC(ctx, cfg)
		cancel()
		var bye *client.ByeError
		if !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_NOT_OWNER {
			t.Errorf("%s: %v", way, err)
		}
	}
	s.SetGateway(m)
	for _, cfg := range three(t, s) {
		calls(t, dialRPC(t, cfg), 3)
	}
}

func TestEveryStreamIsClosedOnce(t *testing.T) {
	ends := map[string]func(s *netcode.Door, m *mirror, c *client.RPC){
		"by its client":  func(_ *netcode.Door, _ *mirror, c *client.RPC) { c.Close() },
		"by its gateway": func(_ *netcode.Door, m *mirror, _ *client.RPC) { m.closeAll() },
		"by the server":  func(s *netcode.Door, _ *mirror, _ *client.RPC) { s.Close() },
		"by a frame that is too long": func(_ *netcode.Door, _ *mirror, c *client.RPC) {
			_ = c.SendRaw(1201, make([]byte, frame.MaxFromClient))
			for range 8 {
				_ = c.SendRaw(2001, nil) // a shard's, out of place
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for way := range 3 {
				s, m := reflecting(t, nil)
				cfg := three(t, s)[[]string{"tcp", "kcp", "websocket"}[way]]
				c := dialRPC(t, cfg)
				calls(t, c, 1)
				end(s, m, c)
				eventually(t, "the stream is closed", func() bool { return m.ended(t, 1) })
				select {
				case <-c.Done():
				case <-time.After(20 * time.Second):
					t.Fatal("the client goes on")
				}
				if n := s.Stats().Gateway; n != 0 {
					t.Errorf("%d connections are left", n)
				}
			}
		})
	}
}

func (m *mirror) closeAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r := range m.open {
		r.c.Close(wirepb.Reason_REASON_LEFT, "enough")
	}
}

func TestRPCConnectionsHaveLimitsOfTheirOwn(t *testing.T) {
	flood := func(s *netcode.Door) error {
		c := dialRPC(t, client.RPCConfig{Addr: s.TCPAddr().String(), Transport: client.TCP})
		for range 3000 {
			_ = c.SendRaw(1201, nil)
		}
		answered := make(chan error, 1)
		err := c.Go(1201, nil, 0, func(_ uint32, _ []byte, err error) { answered <- err })
		if err == nil {
			err = <-answered
		}
		if err != nil {
			<-c.Done()
			return c.Err()
		}
		return nil
	}
	few, _ := reflecting(t, func(c *netcode.Config) { c.GatewayFramesPerSecond = 100 })
	var bye *client.ByeError
	if err := flood(few); !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_TOO_MUCH || !strings.Contains(err.Error(), "the limit of 100 per second") {
		t.Errorf("with a limit: %v", err)
	}
	bytes, _ := reflecting(t, func(c *netcode.Config) { c.GatewayFramesPerSecond, c.GatewayBytesPerSecond = -1, 2000 })
	if err := flood(bytes); !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_TOO_MUCH {
		t.Errorf("with a limit of bytes: %v", err)
	}
	all, _ := reflecting(t, func(c *netcode.Config) { c.GatewayFramesPerSecond, c.GatewayBytesPerSecond = -1, -1 })
	if err := flood(all); err != nil {
		t.Errorf("without: %v", err)
	}
}

func TestAClientThatDoesNotReadEndsAlone(t *testing.T) {
	s, m := reflecting(t, func(c *netcode.Config) { c.GatewayFramesPerSecond, c.GatewayBytesPerSecond = -1, -1 })
	m.times = 64
	honest := dialRPC(t, client.RPCConfig{Addr: s.TCPAddr().String(), Transport: client.TCP})
	conn, err := net.Dial("tcp", s.TCPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	b := frame.Append(nil, 1201, make([]byte, 10_000))
	for range 2000 { // the answers are 64 times as long, and stay in the server
		if _, err = conn.Write(b); err != nil {
			break
		}
		calls(t, honest, 1)
		if s.Stats().Gateway == 1 {
			break
		}
	}
	eventually(t, "the slow one is gone", func() bool { return s.Stats().Gateway == 1 })
	calls(t, honest, 10)
}

func TestAnIdleRPCConnectionEndsAndAHeartbeatKeepsIt(t *testing.T) {
	s, _ := reflecting(t, func(c *netcode.Config) { c.IdleTimeout = 600 * time.Millisecond })
	conns := make([]net.Conn, 2)
	for i := range conns {
		conn, err := net.Dial("tcp", s.TCPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = conn.Write(frame.Append(nil, wirepb.IDHeartbeat, nil))
		conns[i] = conn
	}
	eventually(t, "both are there", func() bool { return s.Stats().Gateway == 2 })
	stop, beaten := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(beaten)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = conns[0].Write(frame.Append(nil, wirepb.IDHeartbeat, nil))
			}
		}
	}()
	if got := farewell(t, conns[1]); got != wirepb.Reason_REASON_IDLE {
		t.Errorf("ended with %v", got)
	}
	close(stop)
	<-beaten
	// The other one is alive, and a heartbeat was never answered.
	_, _ = conns[0].Write(frame.Append(nil, 1201, []byte("x")))
	b := make([]byte, 100)
	if n, err := conns[0].Read(b); err != nil || string(b[:n]) != string(frame.Append(nil, 1201, []byte("x"))) {
		t.Errorf("read %q, %v", b[:n], err)
	}
}

func TestAStockKCPClientOpensRPCWithACookie(t *testing.T) {
	s, _ := reflecting(t, nil)
	c := dialStock(t, &host{server: server{Door: s}})
	open := &wirepb.Open{Coalesce: true}
	c.write(wirepb.IDOpen, open)
	var challenge wirepb.Challenge
	c.expect(wirepb.IDChallenge, &challenge)
	open.Cookie = challenge.Cookie
	c.write(wirepb.IDOpen, open)
	c.expect(wirepb.IDOpened, new(wirepb.Opened))
	c.write(1201, &wirepb.Ping{Time: 5})
	var m wirepb.Ping
	c.expect(1201, &m)
	if m.Time != 5 {
		t.Errorf("%v", &m)
	}
}

func TestOverUDPRPCBeginsWithOpen(t *testing.T) {
	s, m := reflecting(t, nil)
	// A request as the first message of a conversation opens nothing, cookie or not.
	first := dialStock(t, &host{server: server{Door: s}})
	first.write(1201, &wirepb.Ping{})
	eventually(t, "it is ignored", func() bool { return s.Stats().PacketsIgnored > 0 })
	// After an Open that proves nothing, a request ends the conversation.
	second := dialStock(t, &host{server: server{Door: s}})
	second.write(wirepb.IDOpen, &wirepb.Open{})
	second.expect(wirepb.IDChallenge, new(wirepb.Challenge))
	second.write(1201, &wirepb.Ping{}) // the answer is longer than what it has sent so far
	eventually(t, "it is refused", func() bool { return s.Stats().RefusedBy["REASON_PROTOCOL"] == 1 })
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.opened != 0 {
		t.Errorf("%d connections reached the gateway", m.opened)
	}
}

func TestAnOpenFromAnUnprovenAddressBringsNoMoreThanItsBytes(t *testing.T) {
	s, _ := reflecting(t, nil)
	c, err := net.DialUDP("udp", nil, s.UDPAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	packet := kcpPush(7, frame.AppendMessage(nil, wirepb.IDOpen, &wirepb.Open{Coalesce: true}))
	_, _ = c.Write(packet)
	out, b := 0, make([]byte, 2048)
	_ = c.SetReadDeadline(time.Now().Add(1500 * time.Millisecond)) // long enough for repeats
	for {
		n, err := c.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		out += n
	}
	if out > len(packet) {
		t.Errorf("%d bytes brought %d", len(packet), out)
	}
}

func TestTextAndBinaryWebSocketsAreKeptApart(t *testing.T) {
	s, m := reflecting(t, nil)
	url := overHTTP(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	open := func() *websocket.Conn {
		ws, _, err := websocket.Dial(ctx, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.CloseNow() })
		return ws
	}
	write := func(ws *websocket.Conn, kind websocket.MessageType, b string) {
		if err := ws.Write(ctx, kind, []byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	text := open()
	for _, want := range []string{"hello", "", strings.Repeat("x", frame.MaxFromClient)} {
		write(text, websocket.MessageText, want)
		if kind, got, err := text.Read(ctx); kind != websocket.MessageText || string(got) != want || err != nil {
			t.Fatalf("read %v, %d bytes, %v", kind, len(got), err)
		}
	}
	write(text, websocket.MessageText, strings.Repeat("x", frame.MaxFromClient+1))
	if _, got, err := text.Read(ctx); err != nil || !strings.Contains(string(got), `"reason":"REASON_FRAME_TOO_LARGE"`) {
		t.Errorf("read %q, %v", got, err)
	}
	if _, _, err := text.Read(ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("the end is %v", err)
	}

	mixed := open()
	write(mixed, websocket.MessageText, "hello")
	write(mixed, websocket.MessageBinary, "hello")
	for {
		if _, _, err := mixed.Read(ctx); err != nil {
			break
		}
	}
	sneaky := open() // a frame with the id that the server uses for text
	write(sneaky, websocket.MessageBinary, string(frame.Append(nil, 0, []byte("hello"))))
	if _, got, err := sneaky.Read(ctx); err != nil || farewell(t, strings.NewReader(string(got))) != wirepb.Reason_REASON_PROTOCOL {
		t.Errorf("read %q, %v", got, err)
	}
	// A frame may be cut anywhere.
	cut := open()
	whole := string(frame.Append(nil, 1201, []byte("in pieces")))
	for i := range whole {
		write(cut, websocket.MessageBinary, whole[i:i+1])
	}
	if _, got, err := cut.Read(ctx); err != nil || string(got) != whole {
		t.Errorf("read %q, %v", got, err)
	}
	_ = cut.CloseNow()
	eventually(t, "the streams are closed", func() bool { return m.ended(t, 3) })
}

func TestAPageOfAnotherHostOpensNoWebSocket(t *testing.T) {
	s, _ := reflecting(t, func(c *netcode.Config) { c.Origins = []string{"friend.example"} })
	url := overHTTP(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for origin, want := range map[string]bool{
		"": true, "http" + strings.TrimPrefix(url, "ws"): true, "https://friend.example": true, "https://evil.example": false,
	} {
		options := &websocket.DialOptions{HTTPHeader: map[string][]string{}}
		if origin != "" {
			options.HTTPHeader.Set("Origin", origin)
		}
		ws, response, err := websocket.Dial(ctx, url, options)
		if (err == nil) != want {
			t.Errorf("a page of %q: %v", origin, err)
		}
		if err == nil {
			_ = ws.CloseNow()
		} else if response == nil || response.StatusCode != 403 {
			t.Errorf("a page of %q got %v", origin, response)
		}
	}
}

func TestWithoutRoomNoWebSocketIsTaken(t *testing.T) {
	s, _ := reflecting(t, func(c *netcode.Config) { c.MaxHalfOpen, c.HandshakeTimeout = 2, time.Minute })
	url := overHTTP(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 3)
	for range 3 {
		ws, _, err := websocket.Dial(ctx, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ws.CloseNow() }()
		go func() {
			_, b, err := ws.Read(ctx)
			var bye wirepb.Bye
			if err == nil && len(b) > frame.HeaderSize {
				err = proto.Unmarshal(b[frame.HeaderSize:], &bye)
			}
			if err == nil && bye.Reason != wirepb.Reason_REASON_FULL {
				err = fmt.Errorf("ended with %v", &bye)
			}
			ended <- err
		}()
	}
	if err := <-ended; err != nil { // the server may take them in any order
		t.Errorf("one of three: %v", err)
	}
}
