package session

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Conn is what sessions need of a connection; netcode.Conn implements it.
type Conn interface {
	Addr() netip.AddrPort
	Seen() time.Time
	Send(frames []byte)
	SendMessage(id uint32, m proto.Message)
	Backlog() int
	Admit()
	Close(reason wirepb.Reason, text string)
	Elsewhere(shard, text string)
	Datagrams() bool
	TakeDatagrams(session uint64, handle func(id uint32, payload []byte) bool)
}

// linkState is how far a connection has come.
type linkState uint8

const (
	linkJoining linkState = iota // Hello accepted; the world has not answered yet
	linkPlaying                  // Welcome sent
	linkClosed                   // everything else is ignored
)

// link is a connection that wants a session or has one.
type link struct {
	conn      Conn
	raw       *netcode.Conn // conn, for datagrams; nil in tests
	state     linkState
	since     time.Time // when its Hello came
	welcomed  time.Time
	hello     *wirepb.Hello
	ticket    *netcode.Ticket // nil without one
	session   *session
	account   *account // of its address
	datagrams bool     // updates use the datagram lane
}

// spoke reports whether something has arrived after Welcome.
func (l *link) spoke() bool { return l.state == linkPlaying && l.conn.Seen().After(l.welcomed) }

// send queues one message.
func (l *link) send(id uint32, m proto.Message) {
	if l.state != linkClosed {
		l.conn.SendMessage(id, m)
	}
}

// sendRaw queues encoded frames.
func (l *link) sendRaw(frames []byte) {
	if l.state != linkClosed && len(frames) > 0 {
		l.conn.Send(frames)
	}
}
