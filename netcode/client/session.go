package client

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/replication"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Times of a connection.
const (
	handshakeTimeout = 8 * time.Second        // for Welcome, from a server that answers
	handshakeSilence = 2 * time.Second        // longest silence before Welcome
	handshakePing    = 500 * time.Millisecond // between pings before Welcome
	pingEvery        = time.Second
	leaveTimeout     = 500 * time.Millisecond // for the server's Bye
	lead             = 2                      // ticks that the clock starts ahead, besides the round trip, until the first report
	maxLead          = 15                     // most ticks allowed for the round trip
	maxCatchUp       = 3                      // most ticks played at once when the clock was late
)

// session is the state that the client's goroutine owns: the connection and its
// clock.
type session struct {
	c         *Client
	transport transport
	reader    *frame.Reader
	cookie    []byte
	opened    time.Time
	heard     time.Time
	pinged    time.Time
	welcomed  bool
	leaving   time.Time
	bye       *wirepb.Bye
	addresses []string // those given, then the one of the last session if it is another
	given     int      // of addresses
	shard     string   // learned from Welcome
	elsewhere int      // consecutive nodes that serve other shards, and do not know this one
	moved     string   // the address of the shard that the last node named; "": none
	dead      string   // the address of the last node that did not answer
	died      time.Time

	schemaHash uint64
	clock      Clock
	next       uint64 // tick to sample next
	inputSeq   uint64
	first      uint64    // first tick sampled on this connection
	reported   uint64    // input tick of the last slack report
	ackSince   time.Time // since when an acknowledgement waits; zero: none does
	out        []byte    // scratch space for frames
	scratch    []byte
	samples    []*wirepb.Sample
	before     []*wirepb.Sample // samples of the previous tick
	complained map[string]bool  // commands whose wrong actions were logged
}

func newSession(c *Client) *session {
	s := &session{c: c, complained: map[string]bool{}}
	for _, address := range append([]string{c.cfg.Addr}, c.cfg.More...) {
		if !slices.Contains(s.addresses, address) {
			s.addresses = append(s.addresses, address)
		}
	}
	s.given = len(s.addresses)
	return s
}

// connection runs one connection from start to end and returns why it ended.
func (s *session) connection(address string) error {
	c := s.c
	s.before = nil
	s.reader, s.cookie, s.bye = frame.NewReader(frame.MaxFromServer), nil, nil
	s.welcomed, s.leaving, s.ackSince = false, time.Time{}, time.Time{}
	s.pinged = time.Time{} // the first Ping leaves with Hello, to measure the round trip
	var err error
	if c.cfg.Transport == UDP {
		s.transport, s.cookie, err = dialUDP(c.cfg.DialUDP, address, s, &c.counters, c.stop)
	} else {
		s.transport, err = dialTCP(c.cfg.Transport, address, c.cfg.TLS, s, &c.counters)
	}
	if err != nil {
		return err
	}
	s.opened = time.Now()
	s.heard = s.opened // over UDP, a cookie; over TCP, a handshake
	c.mu.Lock()
	c.transport = s.transport
	for _, p := range c.pending {
		p.sent = false
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.transport = nil
		c.mu.Unlock()
		s.transport.close()
	}()
	s.hello()
	for {
		now := time.Now()
		wake, err := s.step(now)
		if err != nil {
			return err
		}
		s.transport.flush(now)
		if err := s.transport.wait(wake); err != nil {
			return err
		}
	}
}

func (s *session) send(id uint32, m proto.Message) {
	s.out = frame.AppendMessage(s.out[:0], id, m)
	s.transport.send(s.out)
}

func (s *session) hello() {
	c := s.c
	m := &wirepb.Hello{
		Protocol: wirepb.Protocol, Identity: c.cfg.Identity, Shard: cmp.Or(c.cfg.Shard, s.shard), Cookie: s.cookie,
		Datagrams: c.cfg.Transport == UDP, Schema: s.schemaHash, Ticket: c.cfg.Ticket,
		Options: c.cfg.Game != nil,
	}
	if t := c.ResumeToken(); t.Session != 0 {
		m.Resume = &wirepb.Resume{Session: t.Session, Token: t.Token, LastTick: t.LastTick}
	}
	s.send(wirepb.IDHello, m)
}

// step does what is due at now. It returns the latest time for the next call.
func (s *session) step(now time.Time) (time.Time, error) {
	c := s.c
	if s.bye != nil {
		if !s.leaving.IsZero() {
			return now, ErrClosed
		}
		at := map[Transport]string{UDP: s.bye.Udp, TCP: s.bye.Tcp, WebSocket: s.bye.Http}[c.cfg.Transport]
		return now, &ByeError{Reason: s.bye.Reason, Text: s.bye.Text, at: at}
	}
	select {
	case <-c.stop:
		if c.abandon || !s.welcomed || !s.leaving.IsZero() && now.After(s.leaving) {
			return now, ErrClosed
		}
		if s.leaving.IsZero() {
			s.leaving = now.Add(leaveTimeout)
			s.send(wirepb.IDBye, &wirepb.Bye{Reason: wirepb.Reason_REASON_LEFT})
		}
		return s.leaving, nil
	default:
	}
	if !s.welcomed {
		if now.Sub(s.opened) > handshakeTimeout || now.Sub(s.heard) > min(handshakeSilence, c.cfg.DropAfter) {
			return now, errMute
		}
		s.ping(now, handshakePing)
		return s.pinged.Add(handshakePing), nil
	}
	if now.Sub(s.heard) > c.cfg.DropAfter {
		return now, errGone
	}
	wake := s.heard.Add(c.cfg.DropAfter + time.Millisecond)
	s.ping(now, pingEvery)
	wake = earlier(wake, s.pinged.Add(pingEvery))
	s.play(now)
	wake = earlier(wake, s.clock.When(float64(s.next)).Add(time.Microsecond))
	s.sendCommands()
	wake = earlier(wake, s.acknowledge(now))
	return wake, nil
}

// ping sends a Ping if the last one is at least every ago.
func (s *session) ping(now time.Time, every time.Duration) {
	if now.Sub(s.pinged) >= every {
		s.pinged = now
		s.send(wirepb.IDPing, &wirepb.Ping{Time: uint64(now.UnixNano())})
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// play samples the input of every tick that the clock has reached.
func (s *session) play(now time.Time) {
	c := s.c
	reached := uint64(math.Max(0, s.clock.Now(now)))
	if reached >= s.next+maxCatchUp {
		s.next = reached
	}
	for ; s.next <= reached; s.next++ {
		s.samples = s.samples[:0]
		c.mu.Lock()
		for _, a := range c.inputs {
			_ = s.sample(a)
		}
		c.mu.Unlock()
		if c.cfg.Bot != nil {
			c.viewMu.Lock()
			actions := c.cfg.Bot.Play(&c.view, s.next)
			c.viewMu.Unlock()
			for _, a := range actions {
				s.act(a)
			}
		}
		s.predict()
		if len(s.samples) > 0 {
			s.sendInput()
		}
	}
}

// predict runs a tick ahead with what was sampled for it.
func (s *session) predict() {
	v := &s.c.view
	if v.ahead == nil {
		return
	}
	s.c.viewMu.Lock()
	defer s.c.viewMu.Unlock()
	v.clock = s.clock
	v.ahead.step(s.next, func(yield func(uint16, uint64, []byte)) {
		for _, x := range s.samples {
			yield(uint16(x.Kind), x.Seq, x.Payload)
		}
	})
}

// act performs a bot's action.
func (s *session) act(a Action) {
	if s.sample(a) == nil {
		return
	}
	if _, err := s.c.enqueue(a, false); err != nil && !errors.Is(err, ErrBusy) && !s.complained[a.command] {
		s.complained[a.command] = true
		s.c.cfg.Logger.Warn("client: cannot send a bot's action", "command", a.command, "error", err)
	}
}

func (s *session) sample(a Action) error {
	kind, err := kindOf(s.c.schema, a, true)
	if err != nil {
		return err
	}
	s.inputSeq++
	s.samples = append(s.samples, &wirepb.Sample{Tick: s.next, Seq: s.inputSeq, Kind: uint32(kind), Payload: a.value})
	return nil
}

func (s *session) sendInput() {
	c := s.c
	m := &wirepb.Input{Samples: s.samples}
	if !s.ackSince.IsZero() {
		s.scratch = c.view.mirror.AppendAck(s.scratch[:0])
		m.Ack, s.ackSince = s.scratch, time.Time{}
	}
	s.send(wirepb.IDInput, m)
	c.counters.inputs.Add(uint64(len(s.samples)))
	s.sendAgain()
}

// sendAgain repeats this tick's inputs on the datagram lane, and those of the tick
// before, if the losses call for it.
func (s *session) sendAgain() {
	ticks := s.transport.lost().want(s.c.cfg.Redundancy)
	if ticks > 0 {
		m := &wirepb.Input{Samples: s.samples}
		if ticks > 1 {
			m.Samples = append(slices.Clone(s.before), s.samples...)
		}
		if b, err := proto.Marshal(m); err == nil && s.transport.datagram(wirepb.IDInput, s.c.view.session, b) {
			s.c.counters.again.Add(uint64(len(m.Samples)))
		}
	}
	s.before = append(s.before[:0], s.samples...)
}

// acknowledge sends an acknowledgement that no input has carried within two ticks.
// It returns when to call it again.
func (s *session) acknowledge(now time.Time) time.Time {
	if s.ackSince.IsZero() {
		return now.Add(time.Hour)
	}
	v := &s.c.view
	due := s.ackSince.Add(2 * time.Second / time.Duration(v.rate))
	if now.Before(due) {
		return due
	}
	s.ackSince = time.Time{}
	s.scratch = v.mirror.AppendAck(s.scratch[:0])
	m := &wirepb.Ack{Body: s.scratch}
	if b, err := proto.Marshal(m); err == nil && !s.transport.datagram(wirepb.IDAck, v.session, b) {
		s.send(wirepb.IDAck, m)
	}
	return now.Add(time.Hour)
}

// sendCommands sends the reliable commands not yet sent on this connection.
func (s *session) sendCommands() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pending {
		if !p.sent {
			p.sent = true
			s.send(wirepb.IDCommand, &wirepb.Command{Seq: p.seq, Kind: uint32(p.kind), Payload: p.value})
		}
	}
}

// stream implements receiver.
func (s *session) stream(b []byte) error {
	s.reader.Feed(b)
	for {
		id, payload, ok, err := s.reader.Next()
		if err != nil {
			return err
		}
		if !ok || s.bye != nil {
			return nil
		}
		if err := s.receive(id, payload); err != nil {
			return err
		}
	}
}

// message implements receiver. It ignores a damaged message.
func (s *session) message(id uint16, sessionID uint64, payload []byte) {
	if s.welcomed && id == wirepb.IDUpdate && sessionID == s.c.view.session {
		_ = s.update(payload)
	}
}

func (s *session) receive(id uint32, payload []byte) error {
	s.heard = time.Now()
	if id == wirepb.IDUpdate {
		return s.update(payload)
	}
	m, err := wirepb.New(id)
	if err != nil {
		return nil // a message of a later version
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return err
	}
	switch m := m.(type) {
	case *wirepb.Challenge:
		s.cookie = m.Cookie
		s.hello()
	case *wirepb.Welcome:
		return s.welcome(m)
	case *wirepb.Bye:
		s.bye = m
	case *wirepb.Reply:
		s.reply(m)
	case *wirepb.Event:
		s.event(m)
	case *wirepb.Control:
		s.control(m.View)
		s.c.counters.saw(m.Tick)
	case *wirepb.Pong:
		s.c.counters.rtt.Store(uint64(time.Now().UnixNano()) - m.Time)
	case *wirepb.Wait:
		s.c.counters.waits.Add(1)
	}
	return nil
}

// welcome begins or resumes the session.
func (s *session) welcome(m *wirepb.Welcome) error {
	c := s.c
	schema := c.Schema()
	if len(m.Schema) > 0 {
		var err error
		if schema, err = ecs.ParseSchema(m.Schema); err != nil {
			return err
		}
	}
	if schema == nil || m.TickRate == 0 {
		return errors.New("client: Welcome lacks a schema or a tick rate")
	}
	if c.view.mirror == nil || m.SchemaHash != s.schemaHash || !m.Resumed {
		mirror, err := replication.NewMirror(schema)
		if err != nil {
			return err
		}
		c.viewMu.Lock()
		c.view.mirror, c.view.place, c.view.tracks = mirror, placeOf(schema), nil
		c.viewMu.Unlock()
	}
	s.schemaHash = m.SchemaHash
	c.viewMu.Lock()
	c.view.rate, c.view.session = int(m.TickRate), m.Session
	c.viewMu.Unlock()
	s.control(m.View)
	if err := s.runAhead(m); err != nil {
		return err
	}

	c.mu.Lock()
	switch {
	case m.Resumed:
		c.counters.resumes.Add(1)
		c.nextSeq = max(c.nextSeq, m.AppliedSeq+1)
	default:
		if s.inputSeq > 0 {
			c.counters.rejoins.Add(1)
		}
		c.nextSeq = m.AppliedSeq + 1
		for _, p := range c.pending {
			close(p.lost)
		}
		c.pending = nil
		s.inputSeq = 0
	}
	c.schema, c.game, c.err = schema, m.Game, nil
	s.shard = m.Shard
	c.token = ResumeToken{Session: m.Session, Token: m.Token, LastTick: m.Tick}
	c.mu.Unlock()
	c.counters.lastTick.Store(m.Tick)

	now := time.Now()
	s.inputSeq = max(s.inputSeq, m.InputSeq)
	// The log may end before the last sampled tick: this node may be another
	// one, or the clock may have run on while disconnected.
	begin := m.Tick + lead + s.way(m.TickRate)
	s.clock.Start(float64(begin), int(m.TickRate), now)
	s.next, s.reported = begin+1, 0
	s.first, s.welcomed, s.pinged = s.next, true, now
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
	return nil
}

// runAhead begins to predict, and does so again after a resume: the log may end before what was predicted.
func (s *session) runAhead(m *wirepb.Welcome) error {
	c := s.c
	if c.cfg.Game == nil {
		return nil
	}
	if c.cfg.Game.Name != m.Game {
		return fmt.Errorf("client: the shard runs the game %q, Config.Game is %q", m.Game, c.cfg.Game.Name)
	}
	a, err := newAhead(*c.cfg.Game, m.Options, m.Session, &c.view)
	if err != nil {
		return fmt.Errorf("client: cannot predict with the shard's options: %w", err)
	}
	c.viewMu.Lock()
	defer c.viewMu.Unlock()
	if old := c.view.ahead; old != nil && a != nil {
		a.wrong, a.wrongSeen = old.wrong, old.wrongSeen
	}
	c.view.ahead = a
	return nil
}

// way returns the round trip to the server in ticks, at most maxLead.
func (s *session) way(rate uint32) uint64 {
	rtt := time.Duration(s.c.counters.rtt.Load())
	return uint64(min(math.Ceil(rtt.Seconds()*float64(rate)), maxLead))
}

func (s *session) control(view uint64) {
	s.c.viewMu.Lock()
	s.c.view.self = ecs.EntityFrom(uint32(view), uint32(view>>32))
	s.c.viewMu.Unlock()
}

func (s *session) update(payload []byte) error {
	var m wirepb.Update
	if err := proto.Unmarshal(payload, &m); err != nil || !s.welcomed {
		return err
	}
	c := s.c
	now := time.Now()
	s.heard = now
	c.counters.updates.Add(1)
	c.counters.saw(m.Tick)
	if m.InputTick != s.reported && m.InputTick >= s.first {
		s.reported = m.InputTick
		s.clock.Report(float64(m.Slack)/256, int(s.next-1-m.InputTick), now)
		c.counters.slack.Store(math.Float64bits(s.clock.Slack()))
		c.counters.speed.Store(math.Float64bits(s.clock.Speed()))
	}
	if len(m.Body) > 0 {
		c.viewMu.Lock()
		err := c.view.mirror.Apply(m.Body)
		if err == nil {
			c.view.updated(s.next-1, now)
			if a := c.view.ahead; a != nil {
				c.counters.corrections.Store(a.wrong)
				c.counters.visibleCorrections.Store(a.wrongSeen)
			}
		}
		c.viewMu.Unlock()
		if err == nil && s.ackSince.IsZero() {
			s.ackSince = now
		}
	}
	if c.cfg.OnUpdate != nil {
		c.cfg.OnUpdate(Update{Tick: m.Tick, Checksum: m.Checksum, Epoch: m.Epoch, Durable: m.Durable, Bytes: len(payload)})
	}
	return nil
}

func (s *session) event(m *wirepb.Event) {
	c := s.c
	c.counters.events.Add(uint64(m.Count))
	c.counters.saw(m.Tick)
	if c.cfg.OnEvent == nil || c.schema == nil || int(m.Kind) >= len(c.schema.Events) {
		return
	}
	c.cfg.OnEvent(Event{Tick: m.Tick, Name: c.schema.Events[m.Kind].Name, Count: int(m.Count), Packed: m.Values})
}

func (s *session) reply(m *wirepb.Reply) {
	c := s.c
	c.counters.saw(m.Tick)
	r := Reply{Seq: m.Seq, Tick: m.Tick, Rejected: m.Rejected, Unknown: m.Unknown, Reason: m.Reason}
	c.mu.Lock()
	for i, p := range c.pending {
		if p.seq == m.Seq {
			p.reply <- r
			c.pending = append(c.pending[:i], c.pending[i+1:]...)
			c.counters.replies.Add(1)
			c.mu.Unlock()
			if c.cfg.OnReply != nil {
				c.cfg.OnReply(r)
			}
			return
		}
	}
	c.mu.Unlock()
}
