package netcode_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// ending reads a WebSocket to its end: the Bye, of either kind, and the status of the close.
func ending(t *testing.T, ws *websocket.Conn) (reason string, status websocket.StatusCode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		kind, b, err := ws.Read(ctx)
		if err != nil {
			return reason, websocket.CloseStatus(err)
		}
		if kind == websocket.MessageText {
			var m struct{ Bye struct{ Reason string } }
			if json.Unmarshal(b, &m) == nil && m.Bye.Reason != "" {
				reason = m.Bye.Reason
			}
			continue
		}
		r := frame.NewReader(frame.MaxFromServer)
		r.Feed(b)
		for id, payload, ok, _ := r.Next(); ok; id, payload, ok, _ = r.Next() {
			var m wirepb.Bye
			if id == wirepb.IDBye && proto.Unmarshal(payload, &m) == nil {
				reason = m.Reason.String()
			}
		}
	}
}

func dialWS(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	return ws
}

// TestEveryWebSocketEndsWithAByeAndItsStatus, whatever a client does wrong.
func TestEveryWebSocketEndsWithAByeAndItsStatus(t *testing.T) {
	s, _ := reflecting(t, nil)
	url := overHTTP(t, s)
	const text, binary = websocket.MessageText, websocket.MessageBinary
	heartbeat := frame.Append(nil, wirepb.IDHeartbeat, nil)
	for name, c := range map[string]struct {
		want string
		play func(ctx context.Context, ws *websocket.Conn)
	}{
		"text after binary": {"REASON_PROTOCOL", func(ctx context.Context, ws *websocket.Conn) {
			_ = ws.Write(ctx, binary, heartbeat)
			_ = ws.Write(ctx, text, []byte("{}"))
		}},
		"binary after text": {"REASON_PROTOCOL", func(ctx context.Context, ws *websocket.Conn) {
			_ = ws.Write(ctx, text, []byte("{}"))
			_ = ws.Write(ctx, binary, heartbeat)
		}},
		"a text a byte too long": {"REASON_FRAME_TOO_LARGE", func(ctx context.Context, ws *websocket.Conn) {
			_ = ws.Write(ctx, text, []byte(strings.Repeat("x", frame.MaxFromClient+1)))
		}},
		"a text far too long": {"REASON_FRAME_TOO_LARGE", func(ctx context.Context, ws *websocket.Conn) {
			_ = ws.Write(ctx, text, []byte(strings.Repeat("x", 100_000)))
		}},
		"empty messages without an end": {"REASON_TOO_MUCH", func(ctx context.Context, ws *websocket.Conn) {
			for range 6000 {
				if ws.Write(ctx, binary, nil) != nil {
					return
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ws := dialWS(t, url)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			go c.play(ctx, ws)
			if reason, status := ending(t, ws); reason != c.want || status != websocket.StatusPolicyViolation {
				t.Errorf("ended with %q and status %v, want %s and 1008", reason, status, c.want)
			}
		})
	}
}

// rawWS is a hand-written WebSocket client.
func rawWS(t *testing.T, url string) (net.Conn, *bufio.Reader) {
	t.Helper()
	host := strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/ws")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host)
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", response, err)
	}
	return conn, r
}

// TestAWebSocketThatBreaksItsProtocolEndsAtOnce: there is no Bye, as the page says; a close frame with status 1002 names
// the error.
func TestAWebSocketThatBreaksItsProtocolEndsAtOnce(t *testing.T) {
	s, _ := reflecting(t, nil)
	url := overHTTP(t, s)
	for name, c := range map[string]struct {
		sent []byte
		want string // of the close frame; "": without one
	}{
		"a reserved bit":                  {[]byte{0xC2, 0x80, 0, 0, 0, 0}, "rsv bits"},
		"an unknown opcode":               {[]byte{0x83, 0x80, 0, 0, 0, 0}, "unknown opcode"},
		"a fragmented ping":               {[]byte{0x09, 0x80, 0, 0, 0, 0}, "fragmented control frame"},
		"a ping that is too long":         {[]byte{0x89, 0xFE, 0, 126, 0, 0, 0, 0}, "invalid length"},
		"data in the middle of a message": {[]byte{0x02, 0x81, 0, 0, 0, 0, 1, 0x82, 0x80, 0, 0, 0, 0}, "without finishing"},
		"an unmasked frame":               {[]byte{0x82, 0x01, 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, r := rawWS(t, url)
			if _, err := conn.Write(c.sent); err != nil {
				t.Fatal(err)
			}
			said, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("after %q: %v", said, err)
			}
			switch closes := len(said) >= 4 && said[0] == 0x88 && binary.BigEndian.Uint16(said[2:]) == uint16(websocket.StatusProtocolError); {
			case c.want == "" && len(said) > 0, c.want != "" && (!closes || !strings.Contains(string(said), c.want)):
				t.Errorf("it ends with %q, want status 1002 and %q", said, c.want)
			}
		})
	}
	eventually(t, "all are gone", func() bool { return s.Stats().Gateway == 0 })
}

func TestPingsOfAWebSocketAreCounted(t *testing.T) {
	s, _ := reflecting(t, nil)
	conn, r := rawWS(t, overHTTP(t, s))
	ping := []byte{0x89, 0x80, 0, 0, 0, 0} // masked with zeros
	go func() {
		for range 100 {
			if _, err := conn.Write([]byte(strings.Repeat(string(ping), 100))); err != nil {
				return
			}
		}
	}()
	pongs := 0
	for {
		head, err := r.Peek(2)
		if err != nil {
			t.Fatalf("no Bye after %d pongs: %v", pongs, err)
		}
		if head[0] == 0x82 {
			b := make([]byte, 2+frame.HeaderSize)
			if _, err := r.Read(b); err != nil || binary.LittleEndian.Uint32(b[2:]) != wirepb.IDBye {
				t.Fatalf("read %x, %v", b, err)
			}
			return
		}
		_, _ = r.Discard(2 + int(head[1]))
		if pongs++; pongs > 3000 {
			t.Fatalf("%d pings were answered in a row", pongs)
		}
	}
}

// TestARefusedWebSocketIsNotReadOn: what a client sends after the end is not read without bound.
func TestARefusedWebSocketIsNotReadOn(t *testing.T) {
	s, _ := reflecting(t, nil)
	url := overHTTP(t, s)
	const hostile = 7
	took := make(chan int, hostile)
	for range hostile {
		conn, _ := rawWS(t, url)
		go func() {
			// One message that announces 2^62 bytes, too fast from the start.
			_, _ = conn.Write([]byte{0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
			n, b := 0, make([]byte, 64<<10)
			for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
				m, err := conn.Write(b)
				if n += m; err != nil {
					break
				}
			}
			took <- n
		}()
	}
	most := 2*64<<10 + 64<<10 + 8<<20 // what the rate allows, what the server drains, and what the kernel buffers
	for range hostile {
		if n := <-took; n > most {
			t.Errorf("the server read %d MiB from a refused WebSocket", n>>20)
		}
	}
	eventually(t, "all are gone", func() bool { return s.Stats().Gateway == 0 })
}
