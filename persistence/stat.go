package persistence

import (
	"context"
	"fmt"
	"slices"

	"github.com/ferris1/wind/ecs"
)

// StatOptions say what Stat counts.
type StatOptions struct {
	// Game, if not nil, re-simulates the log. Only a world can read its frames, so
	// Stat counts clients, inputs and commands only with a game.
	Game *ecs.Game
}

// Distribution describes sizes in bytes.
type Distribution struct {
	Count int
	Sum   int64
	P50   int
	P99   int
	Max   int
}

// Sizes describes the messages of one kind, headers and overhead included; of several deltas in a message, the share of each.
type Sizes struct {
	Kind string // "genesis", "epoch", "ticks", "deltas", "snapshots"
	Distribution
}

// CommandStat counts the commands of one kind.
type CommandStat struct {
	Name    string
	Count   int
	Payload int64 // bytes before the frame's own compression
}

// Stats says how large a shard's history is, and why.
type Stats struct {
	First     Seq
	Last      Seq
	Ticks     uint64
	TickRate  int // ticks per second, from genesis; 0 if genesis is purged and no game is given
	Epochs    int
	Records   []Sizes // by kind
	LogBytes  int64   // everything that the log stores
	BodyBytes int64   // the share of the records themselves

	// Only with a game. A tick carries input if its frame contains a client's
	// command; its clients are the sessions that sent one.
	InputTicks            int
	Clients               int          // the most in one tick
	BytesPerTickAndClient Distribution // all log bytes of a tick with input, per client
	Commands              []CommandStat

	BytesPerHour float64 // growth of the log at the tick rate; 0 if that is unknown
	Uncounted    error   // why the count of clients and commands is incomplete: the game is Foreign to the log, or diverges from it; nil if it is complete
	Deltas       Sizes
	DeltaPerHour float64
	Snapshots    Sizes
}

// Stat measures what src stores. It proves the chain while it reads and returns an error where the chain breaks.
func Stat(ctx context.Context, src Source, o StatOptions) (Stats, error) {
	s := &counter{o: o, overhead: src.MessageOverhead, kinds: map[string][]int{}, commands: map[uint16]*CommandStat{}}
	if err := s.log(ctx, src); err != nil {
		return s.out, err
	}
	if err := s.deltas(ctx, src.Deltas); err != nil {
		return s.out, err
	}
	if err := s.snapshots(ctx, src.Snapshots); err != nil {
		return s.out, err
	}
	s.finish()
	return s.out, nil
}

type counter struct {
	o        StatOptions
	overhead int // bytes of each message besides headers and body
	out      Stats
	world    *ecs.World
	fit      fit
	frame    ecs.Frame
	kinds    map[string][]int
	inputs   []int // bytes per client, for each tick with input
	commands map[uint16]*CommandStat
	clients  map[uint64]struct{}
}

func (s *counter) log(ctx context.Context, src Source) (err error) {
	if s.out.First, err = src.Log.First(ctx); err != nil {
		return fmt.Errorf("persistence: cannot read the log's first sequence: %w", err)
	}
	if s.out.Last, err = src.Log.Last(ctx); err != nil {
		return fmt.Errorf("persistence: cannot read the log's last sequence: %w", err)
	}
	if s.out.First == 0 {
		return nil
	}
	if s.o.Game != nil {
		s.out.TickRate = s.o.Game.TickRate
	}
	chain := NewChain(src.Lineage)
	anchored := s.out.First == 1
	for m, err := range src.Log.Read(ctx, s.out.First, s.out.Last) {
		if err != nil {
			return err
		}
		var r *Record
		if anchored {
			r, err = chain.Next(m)
		} else {
			r, err = chain.Anchor(m)
			anchored = true
		}
		if err == nil {
			err = s.record(m, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *counter) record(m Message, r *Record) (err error) {
	stored := len(m.Body) + m.Header.Size() + s.overhead
	s.kinds[m.Header.Kind] = append(s.kinds[m.Header.Kind], stored)
	s.out.LogBytes += int64(stored)
	s.out.BodyBytes += int64(len(m.Body))
	s.out.Ticks += uint64(len(r.Ticks))
	switch r.Kind {
	case KindGenesis:
		s.out.TickRate = r.Genesis.TickRate
		err = s.genesis(r)
	case KindEpoch:
		s.out.Epochs++
		s.fit.record(r)
		s.fits()
	case KindTicks:
		err = s.ticks(stored, r)
	}
	return err
}

// genesis creates the world that reads the frames.
func (s *counter) genesis(r *Record) (err error) {
	g := r.Genesis
	switch {
	case s.o.Game == nil:
		return nil
	case g.Game != s.o.Game.Name:
		s.out.Uncounted = otherGame(g.Game, s.o.Game.Name)
		return nil
	}
	if s.world, err = ecs.New(*s.o.Game, ecs.Config{Seed: g.Seed, Options: g.Options}); err != nil {
		return err
	}
	s.fit.have = s.world.Schema()
	s.fit.record(r)
	s.fits()
	return nil
}

// fits stops the re-simulation if the game can use neither the state nor the ticks of the current schema.
func (s *counter) fits() {
	if s.world != nil && s.fit.breaks(ecs.BreaksState|ecs.BreaksTicks) {
		s.world, s.out.Uncounted = nil, s.fit.differs
	}
}

// ticks measures the ticks of a record. It divides the bytes outside the frames evenly among them.
func (s *counter) ticks(stored int, r *Record) error {
	if s.world == nil {
		return nil
	}
	shared := stored
	for i := range r.Ticks {
		shared -= len(r.Ticks[i].Frame)
	}
	shared = (shared + len(r.Ticks) - 1) / len(r.Ticks)
	for i := range r.Ticks {
		t := &r.Ticks[i]
		if _, err := resimulateTick(s.world, r.Seq, t, &s.frame); err != nil {
			if !s.fit.breaks(ecs.BreaksTicks) {
				err = s.fit.by(err) // the game logic differs, which does not affect the sizes
			}
			s.world, s.out.Uncounted = nil, s.fit.blame(err)
			return nil
		}
		if n := s.inputsOf(s.frame.Commands); n > 0 {
			s.inputs = append(s.inputs, (shared+len(t.Frame)+n-1)/n)
			s.out.Clients = max(s.out.Clients, n)
		}
	}
	return nil
}

// inputsOf counts the commands and returns how many clients sent them.
func (s *counter) inputsOf(commands []ecs.Command) int {
	clear(s.clients)
	if s.clients == nil {
		s.clients = map[uint64]struct{}{}
	}
	for i := range commands {
		c := &commands[i]
		stat := s.commands[c.Kind]
		if stat == nil {
			stat = &CommandStat{Name: s.world.Schema().Commands[c.Kind].Name}
			s.commands[c.Kind] = stat
		}
		stat.Count++
		stat.Payload += int64(len(c.Payload))
		if c.Source.Kind == ecs.SourceClient {
			s.clients[c.Source.ID] = struct{}{}
		}
	}
	return len(s.clients)
}

func (s *counter) deltas(ctx context.Context, deltas DeltaReader) error {
	if deltas == nil {
		return nil
	}
	var sizes []int
	ticks, scratch := 0, []byte(nil)
	for d, err := range deltas.Read(ctx, 1) {
		if err != nil {
			return err
		}
		if d.Gap == nil {
			ticks++
		}
		header, body := d.Header(), len(d.Body)
		if d.PackedBytes > 0 {
			body = d.PackedBytes
		}
		d.Body = nil
		if scratch, err = d.Encode(scratch[:0]); err != nil {
			return err
		}
		size, beside := len(scratch)+body, header.Size()+s.overhead
		if d.Run > 0 {
			size, beside = d.Share, beside/d.Run
		}
		sizes = append(sizes, size+beside)
	}
	s.out.Deltas = Sizes{Kind: "deltas", Distribution: distribute(sizes)}
	if ticks > 0 {
		s.out.DeltaPerHour = float64(s.out.Deltas.Sum) / float64(ticks) * float64(s.out.TickRate) * 3600
	}
	return nil
}

func (s *counter) snapshots(ctx context.Context, snapshots SnapshotReader) error {
	if snapshots == nil {
		return nil
	}
	all, err := snapshots.List(ctx)
	if err != nil {
		return err
	}
	var sizes []int
	for _, info := range all {
		sizes = append(sizes, int(info.Size))
	}
	s.out.Snapshots = Sizes{Kind: "snapshots", Distribution: distribute(sizes)}
	return nil
}

func (s *counter) finish() {
	for _, kind := range []string{"genesis", "epoch", "ticks"} {
		if sizes := s.kinds[kind]; len(sizes) > 0 {
			s.out.Records = append(s.out.Records, Sizes{Kind: kind, Distribution: distribute(sizes)})
		}
	}
	s.out.InputTicks = len(s.inputs)
	s.out.BytesPerTickAndClient = distribute(s.inputs)
	for _, c := range s.commands {
		s.out.Commands = append(s.out.Commands, *c)
	}
	slices.SortFunc(s.out.Commands, func(a, b CommandStat) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })
	if s.out.Ticks > 0 {
		s.out.BytesPerHour = float64(s.out.LogBytes) / float64(s.out.Ticks) * float64(s.out.TickRate) * 3600
	}
}

// distribute returns the distribution of sizes, which it sorts.
func distribute(sizes []int) Distribution {
	d := Distribution{Count: len(sizes)}
	if len(sizes) == 0 {
		return d
	}
	slices.Sort(sizes)
	for _, n := range sizes {
		d.Sum += int64(n)
	}
	at := func(percent int) int { return sizes[(len(sizes)*percent+99)/100-1] }
	d.P50, d.P99, d.Max = at(50), at(99), sizes[len(sizes)-1]
	return d
}
