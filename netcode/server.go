package netcode

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/replication"
	"github.com/ferris1/wind/netcode/udp"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Server is the client-facing side of a node: its sockets and its sessions. The
// shard's tick loop drives it through Own, Latch, Release and Disown, one call at
// a time; the server reads the world only inside these calls. All other methods
// are safe for concurrent use at any time.
type Server struct {
	cfg   Config
	clock func() time.Time
	udp   *udpLoop
	tcp   net.Listener
	group sync.WaitGroup
	stop  chan struct{}

	takesRPC atomic.Bool // the hub has a gateway, or will have one

	mu     sync.Mutex // guards the hub, closed, and the fields that say so
	hub    *hub
	closed bool

	// Used only by the tick loop.
	targets []target
	streams []stream

	unplaced bool // whether the last release had entities without a place
}

// stream is an update for a client without the datagram lane.
type stream struct {
	link   *link
	frames []byte
}

// maxUpdateBody is how many bytes a datagram of frame.MTU bytes leaves for a
// replication packet.
const maxUpdateBody = 1120

// Listen opens the sockets that c names and begins to accept connections. Until
// Own, a client that wants the shard is asked to try again, or waits
// (Config.Starting).
func Listen(c Config) (*Server, error) {
	if c.UDP == "" && c.TCP == "" {
		return nil, errors.New("netcode: no UDP or TCP address to listen on")
	}
	for _, address := range []string{c.UDP, c.TCP} {
		if err := allowed(address, c.Insecure); err != nil {
			return nil, err
		}
	}
	if n := len(c.TicketKey); n > 0 && n < MinTicketKey {
		return nil, fmt.Errorf("netcode: the ticket key has %d bytes; it needs at least %d", n, MinTicketKey)
	}
	if c.Replication.PacketBytes > maxUpdateBody {
		return nil, fmt.Errorf("netcode: replication packets of %d bytes do not fit into a datagram: the limit is %d", c.Replication.PacketBytes, maxUpdateBody)
	}
	c = c.withDefaults()
	s := &Server{cfg: c, clock: time.Now, stop: make(chan struct{}), hub: newHub(c)}
	s.takesRPC.Store(c.Gateway != nil || c.GatewayLater)
	if c.UDP != "" {
		socket, err := udp.Listen(c.UDP)
		if err != nil {
			return nil, fmt.Errorf("netcode: %w", err)
		}
		s.udp = newUDPLoop(s, socket)
	}
	if c.TCP != "" {
		listener, err := net.Listen("tcp", c.TCP)
		if err != nil {
			if s.udp != nil {
				_ = s.udp.socket.Close()
			}
			return nil, fmt.Errorf("netcode: %w", err)
		}
		s.tcp = listener
		s.group.Go(func() { s.accept(listener) })
	}
	if s.udp != nil {
		s.group.Go(s.udp.run)
	}
	s.group.Go(s.expire)
	return s, nil
}

// allowed refuses addresses that other machines could reach, unless insecure.
func allowed(address string, insecure bool) error {
	if address == "" || insecure {
		return nil
	}
	return Loopback(address)
}

// Loopback returns an error unless address is a loopback address. Until connections are encrypted, no other machine may
// reach a listener for players.
func Loopback(address string) error {
	addr, err := net.ResolveTCPAddr("tcp", address) // resolves UDP addresses alike
	if err != nil {
		return fmt.Errorf("netcode: %w", err)
	}
	if !addr.IP.IsLoopback() {
		return fmt.Errorf("netcode: %s is not a loopback address, and connections are not encrypted yet: name one like 127.0.0.1:7777", address)
	}
	return nil
}

// lock locks the hub for one call and sets its time.
func (s *Server) lock() {
	s.mu.Lock()
	s.hub.now = s.clock()
}

// UDPAddr returns the address of the UDP socket, nil without one.
func (s *Server) UDPAddr() net.Addr {
	if s.udp == nil {
		return nil
	}
	return s.udp.socket.Addr()
}

// TCPAddr returns the address of the TCP listener, nil without one.
func (s *Server) TCPAddr() net.Addr {
	if s.tcp == nil {
		return nil
	}
	return s.tcp.Addr()
}

// Close sends every client a Bye (REASON_SHUTDOWN), waits up to half a second for
// it to leave, and closes the sockets. Sessions stay in the world: their clients
// may resume them on another node.
func (s *Server) Close() error {
	s.lock()
	if s.closed {
		s.mu.Unlock()
		s.group.Wait()
		return nil
	}
	s.closed = true
	for l := range s.hub.links {
		s.hub.close(l, wirepb.Reason_REASON_SHUTDOWN, "the node is shutting down")
	}
	if s.udp != nil {
		s.udp.closing = true
		s.udp.wake()
	}
	s.mu.Unlock()
	close(s.stop)
	if s.tcp != nil {
		s.tcp.Close()
	}
	s.group.Wait()
	return nil
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Stats returns what the clients have done so far.
func (s *Server) Stats() Stats {
	s.lock()
	defer s.mu.Unlock()
	return s.hub.snapshot()
}

// expire runs the hub's expire periodically until Close.
func (s *Server) expire() {
	tick := time.NewTicker(min(250*time.Millisecond, s.cfg.HandshakeTimeout/4+time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.lock()
			s.hub.expire()
			s.mu.Unlock()
		case <-s.stop:
			return
		}
	}
}

// frames hands the complete frames of a stream to the hub or to the gateway. It
// returns false once the connection is closed.
func (s *Server) frames(l *link, in *inbound, now time.Time) bool {
	for {
		if in.stream != nil {
			return s.rpcFrames(l, in, now)
		}
		id, payload, ok, err := in.reader.Next()
		if err == nil && !ok {
			return true
		}
		var c *Conn
		var g Gateway
		s.lock()
		switch {
		case err != nil:
			s.hub.close(l, wirepb.Reason_REASON_FRAME_TOO_LARGE, err.Error())
		case !in.frames.take(1, now):
			s.hub.close(l, wirepb.Reason_REASON_TOO_MUCH, in.frames.exceeded("frames"))
		default:
			c, g = s.enter(l, id, payload)
		}
		open := l.state != linkClosed
		s.mu.Unlock()
		if !open {
			return false
		}
		if c != nil {
			in.speakRPC(&s.cfg, now, g.Opened(c))
			s.rpcFrame(l, in.stream, id, payload)
		}
	}
}

// Own makes this node serve w, which is recovered and fenced with epoch. Its
// sessions wait for their clients to resume them. If the game's replication tags
// are unusable, Own logs why and the shard accepts no clients.
func (s *Server) Own(w *ecs.World, epoch uint64) {
	s.lock()
	defer s.mu.Unlock()
	if err := s.hub.own(w, epoch); err != nil {
		s.cfg.Logger.Error("netcode: the shard cannot be replicated to clients", "error", err)
	}
}

// Disown makes this node stop serving its world. Connections end with a reason
// that makes clients look for the new owner (REASON_NOT_OWNER).
func (s *Server) Disown(reason error) {
	s.lock()
	defer s.mu.Unlock()
	s.cfg.Logger.Info("netcode: disconnecting the shard's clients", "clients", len(s.hub.links), "reason", reason)
	s.hub.disown("the node no longer owns the shard")
}

// SetHung says whether a tick of the world does not end. Meanwhile clients that
// want a session are asked to try again (REASON_NOT_OWNER), as nothing else would
// answer them. Those that have one stay.
func (s *Server) SetHung(hung bool) {
	s.lock()
	defer s.mu.Unlock()
	s.hub.hang(hung)
}

// Latch appends to dst the commands that the clients want in tick: validated,
// with repeats filled in, at most budgetBytes of payloads and envelopes, not yet
// ordered. w is at tick-1; Latch reads it but does not keep it. Nothing writes to
// the payloads afterwards.
func (s *Server) Latch(w *ecs.World, tick uint64, dst []ecs.Command, budgetBytes int) []ecs.Command {
	s.lock()
	defer s.mu.Unlock()
	return s.hub.latch(w, tick, dst, budgetBytes)
}

// Release sends the effects of the record that the log holds under seq: replies
// and events of all its ticks, and an update of the last tick, at which w stands.
// It reads w and outputs until it returns and does not keep them.
func (s *Server) Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
	s.lock()
	s.hub.release(w, epoch, outputs)
	if !s.hub.owned || len(outputs) == 0 {
		s.mu.Unlock()
		return
	}
	s.targets = s.hub.targets(w, s.targets[:0])
	encoder, ended := s.hub.encoder, s.hub.ended
	s.hub.ended = nil
	f := s.takeFlight()
	s.mu.Unlock()

	for _, id := range ended {
		encoder.Leave(id)
	}
	u := header{tick: w.Tick(), checksum: w.Checksum(), epoch: epoch, durable: seq}
	s.encode(w, encoder, u, f)

	s.lock()
	defer s.mu.Unlock()
	for i := range s.streams {
		s.streams[i].link.sendRaw(s.hub, s.streams[i].frames)
	}
	clear(s.streams)
	s.streams = s.streams[:0]
	clear(s.targets)
	s.launch(f)
}

// tellUnplaced warns once when entities lose their place, and again only after all had one.
func (s *Server) tellUnplaced(u replication.Unplaced, tick uint64) {
	if u.Count > 0 && !s.unplaced {
		s.cfg.Logger.Warn("netcode: no client sees an entity whose position is NaN or infinite: look for the system that divides by zero or multiplies without bounds",
			"entity", u.First, "component", u.Component, "entities", u.Count, "tick", tick)
	}
	s.unplaced = u.Count > 0
}

// encode encodes the update of every target.
func (s *Server) encode(w *ecs.World, encoder *replication.Encoder, u header, f *flight) {
	if err := encoder.Begin(w, u.epoch); err != nil {
		s.cfg.Logger.Error("netcode: cannot encode this tick's updates", "tick", u.tick, "error", err)
		return
	}
	s.tellUnplaced(encoder.Unplaced(), u.tick)
	for i := range s.targets {
		t := &s.targets[i]
		if t.fresh {
			encoder.Join(t.id)
		}
		for _, ack := range t.acks {
			_ = encoder.Ack(t.id, ack) // a damaged one acknowledges nothing
		}
		var frames []byte
		encoder.Update(t.id, t.view, func(packet []byte) {
			if !t.datagrams {
				start := len(frames)
				frames = frame.Append(frames, wirepb.IDUpdate, nil)
				frames = u.appendUpdate(frames, t.slack, t.inputTick, packet)
				frame.SetLength(frames[start:])
				return
			}
			f.bytes = frame.AppendMessageHeader(f.bytes, wirepb.IDUpdate, t.id)
			f.bytes = u.appendUpdate(f.bytes, t.slack, t.inputTick, packet)
			f.items = append(f.items, flightItem{link: t.link, to: t.link.udp, until: len(f.bytes)})
		})
		if frames != nil {
			s.streams = append(s.streams, stream{t.link, frames})
		}
	}
}

// takeFlight returns an empty flight, a spare one if possible. The caller holds
// the lock.
func (s *Server) takeFlight() *flight {
	if s.udp == nil || len(s.udp.spare) == 0 {
		return new(flight)
	}
	last := len(s.udp.spare) - 1
	f := s.udp.spare[last]
	s.udp.spare = s.udp.spare[:last]
	return f
}

// launch gives a flight to the UDP loop. When too many wait, it drops the oldest:
// clients cope with lost updates. The caller holds the lock.
func (s *Server) launch(f *flight) {
	if s.udp == nil || len(f.items) == 0 {
		return
	}
	if len(s.udp.flights) == maxFlights {
		s.hub.stats.UpdatesSkipped += uint64(len(s.udp.flights[0].items))
		s.udp.flights = s.udp.flights[1:]
	}
	s.udp.flights = append(s.udp.flights, f)
	s.udp.wake()
}
