package netcode_test

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/xtaci/kcp-go/v5"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/wirepb"
)

// stock is a client written from PROTOCOL.md, with kcp-go's own session and
// nothing of Wind but the message types.
type stock struct {
	t    testing.TB
	conn *kcp.UDPSession
}

func dialStock(t testing.TB, h *host) *stock {
	conn, err := kcp.DialWithOptions(h.server.UDPAddr().String(), nil, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &stock{t, conn}
}

func (s *stock) write(id uint32, m proto.Message) {
	s.t.Helper()
	payload, err := proto.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	b := binary.LittleEndian.AppendUint32(nil, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	if _, err := s.conn.Write(append(b, payload...)); err != nil {
		s.t.Fatal(err)
	}
}

// read returns the next message, or fails after 20 s.
func (s *stock) read() (uint32, []byte) {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var head [8]byte
	if _, err := io.ReadFull(s.conn, head[:]); err != nil {
		s.t.Fatal(err)
	}
	payload := make([]byte, binary.LittleEndian.Uint32(head[4:]))
	if _, err := io.ReadFull(s.conn, payload); err != nil {
		s.t.Fatal(err)
	}
	return binary.LittleEndian.Uint32(head[:]), payload
}

// expect reads until a message of this id comes.
func (s *stock) expect(id uint32, m proto.Message) {
	s.t.Helper()
	for {
		got, payload := s.read()
		if got == id {
			if err := proto.Unmarshal(payload, m); err != nil {
				s.t.Fatal(err)
			}
			return
		}
		if got == 2004 {
			var bye wirepb.Bye
			_ = proto.Unmarshal(payload, &bye)
			s.t.Fatalf("%v instead of message %d", &bye, id)
		}
	}
}

// join does the handshake.
func (s *stock) join(resume *wirepb.Resume) *wirepb.Welcome {
	s.t.Helper()
	hello := &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "stock", Resume: resume}
	s.write(2001, hello)
	var challenge wirepb.Challenge
	s.expect(2002, &challenge)
	hello.Cookie = challenge.Cookie
	s.write(2001, hello)
	welcome := new(wirepb.Welcome)
	s.expect(2003, welcome)
	return welcome
}

func TestStockKCPClientPlays(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	s := dialStock(t, h)
	welcome := s.join(nil)
	schema, err := ecs.ParseSchema(welcome.Schema)
	if err != nil || schema.Hash() != welcome.SchemaHash || welcome.TickRate != 60 || welcome.Game != "netcode-test" {
		t.Fatalf("%v %v", welcome, err)
	}
	kind, _ := schema.Command("add")
	s.write(2006, &wirepb.Command{Seq: welcome.AppliedSeq + 1, Kind: uint32(kind), Payload: binary.LittleEndian.AppendUint64(nil, 42)})
	var event wirepb.Event
	s.expect(2008, &event)
	if event.Count != 1 || len(event.Values) != 16 || binary.LittleEndian.Uint64(event.Values) != welcome.Session || binary.LittleEndian.Uint64(event.Values[8:]) != 42 {
		t.Errorf("%v", &event)
	}
	var reply wirepb.Reply
	s.expect(2007, &reply)
	if reply.Seq != welcome.AppliedSeq+1 || reply.Rejected || reply.Tick != event.Tick {
		t.Errorf("%v", &reply)
	}
	var update wirepb.Update
	s.expect(2009, &update)
	if sum, ok := h.checksum(update.Tick); !ok || sum != update.Checksum || len(update.Body) == 0 {
		t.Errorf("tick %d has checksum %x, the update says %x", update.Tick, sum, update.Checksum)
	}
	s.write(2011, &wirepb.Ping{Time: 99})
	var pong wirepb.Pong
	s.expect(2012, &pong)
	if pong.Time != 99 {
		t.Errorf("%v", &pong)
	}

	// Another connection takes the session over.
	again := dialStock(t, h)
	if w := again.join(&wirepb.Resume{Session: welcome.Session, Token: welcome.Token, LastTick: update.Tick}); !w.Resumed || w.Session != welcome.Session || w.AppliedSeq != 2 {
		t.Errorf("%v", w)
	}
	var bye wirepb.Bye
	for {
		if id, payload := s.read(); id == 2004 {
			_ = proto.Unmarshal(payload, &bye)
			break
		}
	}
	if bye.Reason != wirepb.Reason_REASON_REPLACED {
		t.Errorf("%v", &bye)
	}
}
