package ecs_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the random histories, 0 for a new one")
	ticksFlag = flag.Int("ticks", 10_000, "ticks of the random histories in total")
)

// historySeed is this run's seed. The test logs it, so that a failure can be reproduced.
func historySeed(t testing.TB) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("run again with -seed=%d", seed)
	return seed
}

// history drives a chaos with random commands while others follow it in every possible way:
//
//   - a follower applies the deltas;
//   - worlds are restored from snapshots, at random ticks, and simulate the same frames, decoded from their encoding;
//   - from time to time the follower becomes the leader.
//
// After each tick all of them must be the same world.
type history struct {
	r        *rand.Rand
	leader   *ecs.World
	follower *ecs.World
	restored []*ecs.World
	players  map[uint64]*player
	ids      []uint64          // of the players, in order of joining
	applied  map[uint64]uint64 // each session's last command, by a model of the rule
	poked    uint64            // commands that the ledger must have counted, by that model
	failures int               // proof that the history was not empty
	replies  int
	events   int
	moved    map[int]bool
	limited  int // failures that name the limit on tables
	given    int // times that tables were given back
}

// player is what a session's client knows.
type player struct {
	seq, inputSeq uint64
	last          []byte
}

// run runs a history and returns the first violated property.
func (h *history) run(ticks int) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("tick %d: panic: %v", h.leader.Tick()+1, r)
		}
	}()
	for range ticks {
		if err := h.tick(); err != nil {
			return fmt.Errorf("tick %d: %w", h.leader.Tick(), err)
		}
	}
	return nil
}

func newHistory(seed uint64) (*history, error) {
	h := &history{r: rand.New(rand.NewPCG(seed, 1)), players: map[uint64]*player{}, applied: map[uint64]uint64{}, moved: map[int]bool{}}
	var err error
	if h.leader, err = ecs.New(chaos, ecs.Config{Seed: seed}); err != nil {
		return nil, err
	}
	h.follower, err = ecs.New(chaos, ecs.Config{Seed: seed})
	return h, err
}

func (h *history) tick() error {
	if h.r.IntN(40) == 0 || h.leader.Tick() == 37 {
		if err := h.restore(); err != nil {
			return err
		}
	}
	if h.r.IntN(90) == 0 {
		h.leader, h.follower = h.follower, h.leader
	}
	f := h.frame()
	h.model(f)
	body := h.leader.AppendFrame(nil, f)
	tables := len(h.leader.Tables())
	o := h.leader.Step(f)
	if len(h.leader.Tables()) < tables {
		h.given++
	}
	if full := h.leader.Recompute(); o.Checksum != full || h.leader.Checksum() != full {
		return fmt.Errorf("the checksum is %016x incrementally and %016x from scratch", o.Checksum, full)
	}
	if got := ecs.ResourceOf[Ledger](h.leader).Poked; got != h.poked {
		return fmt.Errorf("%d pokes were applied, %d were sent", got, h.poked)
	}
	if n := h.leader.Uninhabited(); n > h.leader.MayKeep() {
		return fmt.Errorf("the tick leaves %d tables without rows, more than %d", n, h.leader.MayKeep())
	}
	want, delta := digest(h.leader, o), o.Delta.AppendTo(nil)
	if strings.Contains(want, "lost:true") || strings.Contains(want, "to=lost") {
		return fmt.Errorf("a failed system's event or message is visible")
	}
	h.see(o)
	if len(delta) > o.Delta.Size() {
		return fmt.Errorf("a delta has %d bytes, but its Size is %d", len(delta), o.Delta.Size())
	}
	if err := h.follow(f, body, delta); err != nil {
		return err
	}
	for i, w := range h.restored {
		if err := resimulate(w, body, want, delta); err != nil {
			return fmt.Errorf("restored world %d: %w", i, err)
		}
	}
	return nil
}

// model counts the pokes that must apply: each session's in ascending order, each once.
func (h *history) model(f ecs.Frame) {
	for i := range f.Commands {
		c := &f.Commands[i]
		if int(c.Kind) >= len(h.leader.Schema().Commands) {
			continue
		}
		last, joined := h.applied[c.Source.ID]
		switch h.leader.Schema().Commands[c.Kind].Name {
		case "wind.join":
			if !joined && c.Payload[0] > 0 {
				h.applied[c.Source.ID] = c.Seq
			}
		case "wind.leave":
			delete(h.applied, c.Source.ID)
		case "poke":
			if joined && c.Seq > last {
				h.applied[c.Source.ID] = c.Seq
				h.poked++
			}
		}
	}
}

// follow applies the delta.
func (h *history) follow(f ecs.Frame, body, delta []byte) error {
	if err := sameFrame(h.follower, f, body); err != nil {
		return err
	}
	if err := h.follower.Apply(delta); err != nil {
		return err
	}
	if full := h.follower.Recompute(); full != h.follower.Checksum() {
		return fmt.Errorf("the follower's checksum is %016x incrementally and %016x from scratch", h.follower.Checksum(), full)
	}
	if h.r.IntN(20) == 0 && !bytes.Equal(h.follower.AppendSnapshot(nil), h.leader.AppendSnapshot(nil)) {
		return fmt.Errorf("leader and follower have different snapshots")
	}
	return nil
}

// resimulate steps a world through the frame and compares all its output.
func resimulate(w *ecs.World, body []byte, want string, delta []byte) error {
	var read ecs.Frame
	if err := w.DecodeFrame(body, &read); err != nil {
		return err
	}
	o := w.Step(read)
	if got := digest(w, o); got != want {
		return fmt.Errorf("its future differs:\n%s\nwant\n%s", got, want)
	}
	if !bytes.Equal(o.Delta.AppendTo(nil), delta) {
		return fmt.Errorf("its delta differs")
	}
	return nil
}

// sameFrame compares the encoded frame, as w decodes it, with the frame.
func sameFrame(w *ecs.World, f ecs.Frame, body []byte) error {
	var read ecs.Frame
	if err := w.DecodeFrame(body, &read); err != nil {
		return err
	}
	if a, b := fmt.Sprint(read), fmt.Sprint(f); a != b {
		return fmt.Errorf("the frame is read as %s, want %s", a, b)
	}
	return nil
}

// restore adds a world made from a snapshot, and from that world's own snapshot.
func (h *history) restore() error {
	b := h.leader.AppendSnapshot(nil)
	w, err := ecs.Restore(chaos, b)
	if err != nil {
		return err
	}
	if !bytes.Equal(w.AppendSnapshot(nil), b) {
		return fmt.Errorf("a restored world's snapshot differs")
	}
	h.restored = append(h.restored[max(0, len(h.restored)-2):], w)
	return nil
}

// see counts events.
func (h *history) see(o ecs.Output) {
	h.failures += len(o.Failures)
	for _, f := range o.Failures {
		if strings.HasPrefix(f.Reason, "limit: ") {
			h.limited++
		}
	}
	h.replies += len(o.Replies)
	for _, e := range o.Events {
		h.events += e.Count
	}
	h.moved[len(h.leader.Tables())] = true
}

// digest is everything that a Step outputs, except the delta's bytes.
func digest(w *ecs.World, o ecs.Output) string {
	var s strings.Builder
	fmt.Fprintf(&s, "tick=%d checksum=%016x entities=%d\n", o.Tick, o.Checksum, w.Len())
	for _, e := range o.Events {
		t := &w.Schema().Events[e.Kind]
		for i := range e.Count {
			fmt.Fprintf(&s, "event %s %s\n", e.Name, t.Format(e.Values[i*t.Packed:(i+1)*t.Packed]))
		}
	}
	for _, m := range o.Outbox {
		fmt.Fprintf(&s, "message to=%s %s %d %x\n", m.To, m.Name, m.N, m.Payload)
	}
	for _, r := range o.Replies {
		fmt.Fprintf(&s, "reply %+v\n", r)
	}
	for _, f := range o.Failures {
		fmt.Fprintf(&s, "failure %+v\n", f)
	}
	for x := range w.EachSession {
		fmt.Fprintf(&s, "session %+v\n", x)
		for kind := range w.Schema().Commands {
			if p, ok := w.LastInput(x.ID, uint16(kind)); ok {
				fmt.Fprintf(&s, "input %x\n", p)
			}
		}
	}
	return s.String()
}

// frame returns random commands: joins, leaves, new and repeated inputs, new and duplicate commands, garbage.
func (h *history) frame() ecs.Frame {
	w, r := h.leader, h.r
	f := ecs.Frame{Tick: w.Tick() + 1}
	if r.IntN(12) == 0 && len(h.ids) < 12 {
		f.Commands = append(f.Commands, h.join())
	}
	for i := 0; i < len(h.ids); i++ {
		id := h.ids[i]
		if _, ok := w.Session(id); !ok {
			continue // not yet, or refused
		}
		if r.IntN(90) == 0 {
			f.Commands = append(f.Commands, ecs.NewCommand(w, client(id), ^uint64(0), ecs.Leave{}))
			delete(h.players, id)
			h.ids = append(h.ids[:i:i], h.ids[i+1:]...)
			i--
			continue
		}
		f.Commands = h.play(f.Commands, id)
	}
	if r.IntN(30) == 0 {
		f.Commands = append(f.Commands, ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceKind(r.IntN(4)), ID: r.Uint64N(3)}, 1, Quake{int32(r.IntN(9))}))
	}
	if r.IntN(20) == 0 {
		f.Commands = append(f.Commands, h.garbage())
	}
	w.Order(f.Tick, f.Commands)
	if r.IntN(50) == 0 {
		r.Shuffle(len(f.Commands), func(i, j int) { f.Commands[i], f.Commands[j] = f.Commands[j], f.Commands[i] })
	}
	return f
}

func client(id uint64) ecs.Source { return ecs.Source{Kind: ecs.SourceClient, ID: id} }

func (h *history) join() ecs.Command {
	id := h.r.Uint64N(1000) + 1
	for h.players[id] != nil {
		id++
	}
	j := ecs.Join{Identity: ecs.NewText64(fmt.Sprint("player ", id)), ResumeHash: [16]byte{byte(id)}}
	if h.r.IntN(10) == 0 {
		j.Identity = ecs.Text64{} // will be refused
	} else if _, there := h.leader.Session(id); !there {
		h.players[id] = &player{seq: 1}
		h.ids = append(h.ids, id)
	}
	return ecs.NewCommand(h.leader, client(id), 1, j)
}

// play adds one session's part of a frame.
func (h *history) play(commands []ecs.Command, id uint64) []ecs.Command {
	w, r, p := h.leader, h.r, h.players[id]
	switch n := r.IntN(10); {
	case n < 4 && p.last != nil: // a duplicate by its client
		p.inputSeq++
		commands = append(commands, ecs.Command{Kind: pushKind(w), Source: client(id), Seq: p.inputSeq, Payload: p.last})
	case n < 5 && p.last != nil: // a repeat by the host
		commands = append(commands, ecs.Command{Kind: pushKind(w), Source: client(id), Seq: p.inputSeq, Flags: ecs.FlagRepeated, Payload: p.last})
	case n < 9:
		p.inputSeq += 1 + r.Uint64N(2)
		c := ecs.NewCommand(w, client(id), p.inputSeq, Push{float64(r.IntN(100)), r.IntN(2) == 0})
		p.last = c.Payload
		commands = append(commands, c)
		if r.IntN(30) == 0 { // a second one, which fails
			c.Seq++
			commands = append(commands, c)
		}
	}
	for range r.IntN(3) {
		c := ecs.NewCommand(w, client(id), p.seq+1, Poke{What: uint8(r.IntN(10)), Name: ecs.NewText16("poker")})
		if r.IntN(5) == 0 {
			c.Seq = p.seq // applied before
		} else {
			p.seq++
		}
		commands = append(commands, c)
	}
	return commands
}

func pushKind(w *ecs.World) uint16 {
	i, _ := w.Schema().Command("push")
	return uint16(i)
}

// garbage returns a command that no host would admit.
func (h *history) garbage() ecs.Command {
	r := h.r
	c := ecs.Command{Kind: uint16(2 + r.IntN(8)), Source: ecs.Source{Kind: ecs.SourceKind(r.IntN(9)), ID: r.Uint64N(5000) + 2000}, Seq: r.Uint64(), Flags: uint8(r.IntN(4))}
	for range r.IntN(30) {
		c.Payload = append(c.Payload, byte(r.IntN(256)))
	}
	if c.Kind < 5 {
		c.Flags = 2 // always invalid
	}
	return c
}

// TestRestoreKeepsTheFuture checks the property on which everything rests: a leader, a follower of its deltas and
// worlds restored from snapshots at any tick live the same future, to the bit, for 10,000 ticks in total.
func TestRestoreKeepsTheFuture(t *testing.T) {
	seed := historySeed(t)
	const each = 500
	failures, replies, events := 0, 0, 0
	for i := range max(1, *ticksFlag/each) {
		h, err := newHistory(seed + uint64(i))
		if err == nil {
			err = h.run(each)
		}
		if err != nil {
			t.Fatalf("history %d (alone: -seed=%d -ticks=%d): %v", i, seed+uint64(i), each, err)
		}
		failures, replies, events = failures+h.failures, replies+h.replies, events+h.events
		if len(h.moved) < 10 {
			t.Errorf("history %d made only %d tables", i, len(h.moved))
		}
	}
	if least := *ticksFlag / 10; failures < least || replies < least || events < least {
		t.Errorf("too little happened: %d failures, %d replies, %d events", failures, replies, events)
	}
}

// TestTheFutureIsKeptAtTheLimitOfTables runs histories with hardly any room for tables: systems and commands fail for
// lack of one, and empty ones are given back every few ticks. After each tick the world must still save and restore.
func TestTheFutureIsKeptAtTheLimitOfTables(t *testing.T) {
	seed := historySeed(t)
	limited, given := 0, 0
	for i, limit := range [][2]int{{64, 0}, {56, 2}, {48, 1}, {40, 5}, {9, 0}} {
		defer ecs.SetTableLimits(limit[0], limit[1])()
		h, err := newHistory(seed + uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		for range 160 {
			err := h.run(1)
			if err == nil {
				_, err = ecs.Restore(chaos, h.leader.AppendSnapshot(nil))
			}
			if err != nil {
				t.Fatalf("at most %d tables, %d to spare: tick %d: %v", limit[0], limit[1], h.leader.Tick(), err)
			}
			if n := len(h.leader.Tables()); n > limit[0] {
				t.Fatalf("%d tables, at most %d are allowed", n, limit[0])
			}
		}
		limited, given = limited+h.limited, given+h.given
		t.Logf("at most %d tables, %d to spare: %d failures for lack of a table, given back %d times", limit[0], limit[1], h.limited, h.given)
	}
	if limited < 30 || given < 20 {
		t.Errorf("too little happened: %d failures, given back %d times", limited, given)
	}
}
