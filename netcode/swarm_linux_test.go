package netcode_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/lane"
	"github.com/ferris1/wind/netcode/replication"
	"github.com/ferris1/wind/netcode/udp"
	"github.com/ferris1/wind/netcode/wirepb"
)

// swarm runs many clients on one socket and one goroutine: real sessions that send
// an input each tick and acknowledge what they receive, as cheaply as possible.
type swarm struct {
	socket  *udp.Socket
	server  *net.UDPAddr
	cookie  []byte
	byConv  map[uint32]*bee
	bySess  map[uint64]*bee
	bees    []*bee
	schema  *ecs.Schema
	scratch []byte
	out     []byte
	ready   *atomic.Int64
	tick    uint64
	seen    time.Time // when tick arrived
}

type bee struct {
	lane    *lane.Lane
	reader  *frame.Reader
	mirror  *replication.Mirror
	session uint64
	seq     uint64
	sent    uint64 // newest tick that an input aims at
	ack     []byte
}

func newSwarm(addr string, n int, schema *ecs.Schema, ready *atomic.Int64) *swarm {
	s := &swarm{byConv: map[uint32]*bee{}, bySess: map[uint64]*bee{}, schema: schema, scratch: make([]byte, lane.ScratchSize), ready: ready}
	s.server, _ = net.ResolveUDPAddr("udp", addr)
	s.socket, _ = udp.Listen("127.0.0.1:0")
	for len(s.bees) < n {
		conv := rand.Uint32()
		if conv == 0 || s.byConv[conv] != nil {
			continue
		}
		mirror, err := replication.NewMirror(schema)
		if err != nil {
			panic(err)
		}
		b := &bee{reader: frame.NewReader(frame.MaxFromServer), mirror: mirror}
		b.lane = lane.New(conv, func(packet []byte) { s.socket.Queue(s.server, packet) })
		s.byConv[conv], s.bees = b, append(s.bees, b)
	}
	return s
}

func (s *swarm) run(stop <-chan struct{}) error {
	defer func() { _ = s.socket.Close() }()
	s.socket.Queue(s.server, frame.AppendKnock(nil, 1))
	s.socket.Flush()
	greeted, swept := 0, time.Now()
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		s.socket.SetDeadline(time.Now().Add(5 * time.Millisecond))
		if err := s.socket.Read(s.take); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		for n := 0; s.cookie != nil && greeted < len(s.bees) && n < 4; n++ {
			b := s.bees[greeted]
			b.send(s, wirepb.IDHello, &wirepb.Hello{
				Protocol: wirepb.Protocol, Identity: fmt.Sprint(greeted), Cookie: s.cookie,
				Datagrams: true, Schema: s.schema.Hash(),
			})
			b.lane.Update()
			greeted++
		}
		if now := time.Now(); now.Sub(swept) >= lane.Interval*time.Millisecond {
			swept = now
			for _, b := range s.bees[:greeted] {
				if b.lane.Busy() {
					b.lane.Update()
				}
			}
		}
		s.play()
		s.socket.Flush()
	}
}

// play spreads the inputs over the tick, as separate clients would.
func (s *swarm) play() {
	due := int(min(1, time.Since(s.seen).Seconds()*40) * float64(len(s.bees)))
	for _, b := range s.bees[:due] {
		if b.session == 0 || b.sent > s.tick+2 {
			continue
		}
		b.sent = s.tick + 3
		b.seq++
		m := &wirepb.Input{
			Samples: []*wirepb.Sample{{Tick: b.sent, Seq: b.seq, Kind: 2, Payload: binary.LittleEndian.AppendUint64(make([]byte, 24), b.seq<<40>>12)}},
			Ack:     b.ack,
		}
		b.send(s, wirepb.IDInput, m)
		b.ack = b.ack[:0]
		b.lane.Update()
	}
}

func (b *bee) send(s *swarm, id uint32, m proto.Message) {
	s.out = frame.AppendMessage(s.out[:0], id, m)
	b.lane.Write(s.out)
}

func (s *swarm) take(_ *net.UDPAddr, packet []byte) {
	kind, _, body, ok := frame.ParseDatagram(packet)
	switch {
	case ok && kind == frame.DatagramCookie:
		_, cookie, _ := frame.ParseCookie(body)
		s.cookie = append([]byte(nil), cookie...)
	case ok && kind == frame.DatagramMessage:
		session, payload, _ := frame.ParseMessage(body)
		var m wirepb.Update
		if b := s.bySess[session]; b != nil && proto.Unmarshal(payload, &m) == nil {
			if b.mirror.Apply(m.Body) == nil {
				b.ack = b.mirror.AppendAck(b.ack[:0])
			}
			if m.Tick > s.tick {
				s.tick, s.seen = m.Tick, time.Now()
			}
		}
	case !ok && len(packet) >= lane.Overhead:
		if b := s.byConv[binary.LittleEndian.Uint32(packet)]; b != nil {
			_ = b.lane.Input(packet)
			b.lane.Read(s.scratch, func(p []byte) bool { b.reader.Feed(p); return true })
			s.frames(b)
		}
	}
}

func (s *swarm) frames(b *bee) {
	for {
		id, payload, ok, err := b.reader.Next()
		if err != nil || !ok {
			return
		}
		var m wirepb.Welcome
		if id == wirepb.IDWelcome && proto.Unmarshal(payload, &m) == nil {
			b.session = m.Session
			s.bySess[m.Session] = b
			s.ready.Add(1)
		}
	}
}
