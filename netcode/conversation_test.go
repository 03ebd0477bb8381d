package netcode_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/lane"
	"github.com/ferris1/wind/netcode/wirepb"
)

// talker is a client that keeps its port and its conversation id.
type talker struct {
	t      *testing.T
	conn   *net.UDPConn
	lane   *lane.Lane
	reader *frame.Reader
	first  []byte // the first packet of the conversation
}

const talkerConv = 4711

func newTalker(t *testing.T, h *host) *talker {
	conn, err := net.DialUDP("udp", nil, h.server.UDPAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &talker{t: t, conn: conn}
}

// begin begins the conversation with a new cookie.
func (c *talker) begin(resume *wirepb.Resume) {
	c.t.Helper()
	c.reader, c.first = frame.NewReader(frame.MaxFromServer), nil
	c.lane = lane.New(talkerConv, func(b []byte) {
		if c.first == nil {
			c.first = append(c.first, b...)
		}
		_, _ = c.conn.Write(b)
	})
	_, _ = c.conn.Write(frame.AppendKnock(nil, 1))
	var cookie []byte
	for b := make([]byte, 2048); cookie == nil; {
		_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.conn.Read(b)
		if err != nil {
			c.t.Fatal("no cookie: ", err)
		}
		if kind, _, body, ok := frame.ParseDatagram(b[:n]); ok && kind == frame.DatagramCookie {
			_, cookie, _ = frame.ParseCookie(append([]byte(nil), body...))
		}
	}
	c.lane.Write(frame.AppendMessage(nil, wirepb.IDHello, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "ann", Cookie: cookie, Resume: resume}))
	c.lane.Update()
}

// expect waits for a message of the reliable lane.
func (c *talker) expect(want uint32, m proto.Message) {
	c.t.Helper()
	b, scratch := make([]byte, 2048), make([]byte, lane.ScratchSize)
	for deadline := time.Now().Add(10 * time.Second); ; {
		_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		n, err := c.conn.Read(b)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			c.t.Fatal(err)
		}
		if err == nil && !frame.IsDatagram(b[:n]) {
			_ = c.lane.Input(b[:n])
		}
		c.lane.Read(scratch, func(b []byte) bool { c.reader.Feed(b); return true })
		c.lane.Update()
		for {
			id, payload, ok, err := c.reader.Next()
			if err != nil {
				c.t.Fatal(err)
			}
			if !ok {
				break
			}
			if id == want {
				if err := proto.Unmarshal(payload, m); err != nil {
					c.t.Fatal(err)
				}
				return
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("no message %d within 10 s", want)
		}
	}
}

func TestAClientMayBeginItsConversationAnew(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	c := newTalker(t, h)
	c.begin(nil)
	var first, again wirepb.Welcome
	c.expect(wirepb.IDWelcome, &first)
	old := c.first
	time.Sleep(5 * time.Millisecond) // cookies count milliseconds
	c.begin(&wirepb.Resume{Session: first.Session, Token: first.Token, LastTick: first.Tick})
	c.expect(wirepb.IDWelcome, &again)
	if !again.Resumed || again.Session != first.Session {
		t.Errorf("%v", &again)
	}
	// A late copy of the old first packet, with a cookie that is still valid, changes nothing.
	_, _ = c.conn.Write(old)
	c.lane.Write(frame.AppendMessage(nil, wirepb.IDPing, &wirepb.Ping{Time: 5}))
	var pong wirepb.Pong
	c.expect(wirepb.IDPong, &pong)
	if s := h.server.Stats(); s.Clients != 1 || s.Sessions != 1 {
		t.Errorf("%d clients, %d sessions", s.Clients, s.Sessions)
	}
}

func TestAMessageOfMoreFragmentsThanTheWindowIsRefusedByName(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	c := newTalker(t, h)
	c.begin(nil)
	c.expect(wirepb.IDWelcome, new(wirepb.Welcome))
	segment := kcpPush(talkerConv, []byte("the first of 80"))
	segment[5], segment[12] = 79, 1 // 79 follow; the second segment of the conversation
	_, _ = c.conn.Write(segment)
	var bye wirepb.Bye
	c.expect(wirepb.IDBye, &bye)
	if want := "a KCP message of 80 fragments does not fit into the receive window of 64"; bye.Reason != wirepb.Reason_REASON_FRAME_TOO_LARGE || len(bye.Text) < len(want) {
		t.Errorf("ended with %v, want %q", &bye, want)
	}
}
