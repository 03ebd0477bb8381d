package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// tailRecord is a record as `log tail --json` prints it.
type tailRecord struct {
	Seq      uint64     `json:"seq"`
	Kind     string     `json:"kind"`
	Epoch    uint64     `json:"epoch"`
	Bytes    int        `json:"bytes"`
	Detail   string     `json:"detail,omitempty"` // of genesis and epoch records and of the seal
	Ticks    []tailTick `json:"ticks,omitempty"`
	Previous string     `json:"previous"` // chain hash of the record before
}

type tailTick struct {
	Tick     uint64         `json:"tick"`
	Checksum string         `json:"checksum"`
	Bytes    int            `json:"bytes"` // of the commands
	Counts   map[string]int `json:"counts,omitempty"`
	Commands []tailCommand  `json:"commands,omitempty"`
	Outbox   int            `json:"outbox,omitempty"`
	Failures []string       `json:"failures,omitempty"`
}

// silent reports whether a tick is known to have no commands, messages or failures.
func (t *tailTick) silent() bool {
	return t.Counts != nil && len(t.Counts) == 0 && t.Outbox == 0 && len(t.Failures) == 0
}

type tailCommand struct {
	Name     string `json:"name"`
	From     string `json:"from"`
	Seq      uint64 `json:"seq"`
	Repeated bool   `json:"repeated,omitempty"`
	Neutral  bool   `json:"neutral,omitempty"`
	Value    string `json:"value"`
}

func (a *app) logTail() *cobra.Command {
	src, t := &sourceFlags{}, &tailer{app: a}
	c := &cobra.Command{
		Use:   "tail",
		Short: "Print the last records of a log",
		Long: `Prints records with their ticks, checksums and commands by name. A command is stored relative to its session's previous
ones, so log tail first rebuilds the world before the first record that it prints. Ticks of one record in which nothing came or went
share a line, with the checksum of the last.

With --follow it keeps printing records as they are committed; with --json, one JSON object per record.`,
		Example: "  wind log tail -n 3 --commands\n  wind log tail --follow",
	}
	src.add(c.Flags())
	c.Flags().Uint64VarP(&t.n, "number", "n", 10, "how many records")
	c.Flags().BoolVar(&t.commands, "commands", false, "print every command, not only their counts")
	c.Flags().BoolVarP(&t.follow, "follow", "f", false, "keep printing records as the node commits them")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		src.follows = t.follow
		if t.n == 0 {
			return usagef("log tail: -n 0: want at least 1")
		}
		if t.follow && src.file != "" {
			return usagef("log tail: --follow needs a running node, and a file never changes: name the node's directory with --data, or its server with --nats")
		}
		if t.follow && src.nats == "" {
			if _, err := node.Running(src.data); err != nil {
				return fmt.Errorf("log tail: --follow needs a running node, and none runs on %s: name its directory with --data, or its server with --nats", src.data)
			}
		}
		return src.read(ctx, a, func(s persistence.Source) error {
			t.src = s
			return t.run(ctx)
		})
	})
	return c
}

// tailer prints records. It steps a world along with them to decode their commands.
type tailer struct {
	*app
	src      persistence.Source
	n        uint64
	commands bool
	follow   bool
	world    *ecs.World // before the next record; nil if it could not be rebuilt
	frame    ecs.Frame
	records  []tailRecord
}

func (t *tailer) run(ctx context.Context) error {
	last, err := t.src.Log.Last(ctx)
	if err != nil {
		return err
	}
	from := persistence.Seq(1)
	if uint64(last) > t.n {
		from = last - persistence.Seq(t.n) + 1
	}
	first, err := t.src.Log.First(ctx)
	if err != nil {
		return err
	}
	from = max(from, first)
	if err := t.rebuild(ctx, from); err != nil {
		return err
	}
	messages := t.src.Log.Read(ctx, from, last)
	if t.follow {
		messages = t.src.Follow(ctx, from)
	}
	for m, err := range messages {
		if ctx.Err() != nil && t.follow {
			break
		}
		if err != nil {
			return err
		}
		if err := t.one(m); err != nil {
			return err
		}
	}
	if t.json && !t.follow {
		return json.NewEncoder(t.stdout).Encode(map[string]any{"last_seq": last, "records": t.records})
	}
	return nil
}

// rebuild makes the world as it was before the record from.
func (t *tailer) rebuild(ctx context.Context, from persistence.Seq) error {
	m, err := t.src.Log.Get(ctx, from)
	if err != nil {
		return err
	}
	r, err := persistence.DecodeRecord(m.Body)
	if err != nil {
		return err
	}
	var tick uint64 // the last one before the record
	switch {
	case r.EpochStart != nil:
		tick = r.EpochStart.From
	case len(r.Ticks) > 0:
		tick = r.Ticks[0].Tick - 1
	}
	if tick == 0 {
		t.world, err = t.genesis(ctx)
		return err
	}
	o := persistence.ReplayOptions{To: tick}
	if snap, err := newestSnapshot(ctx, t.src, tick); err == nil {
		o.Snapshot = snap
	}
	p := persistence.NewReplay(t.game, t.src, o)
	if _, err := p.Run(ctx); err != nil {
		t.log.Warn("commands cannot be shown: the world before them cannot be rebuilt", "error", err)
		return nil
	}
	t.world = p.World()
	return nil
}

// genesis makes the empty world of the log's first record.
func (t *tailer) genesis(ctx context.Context) (*ecs.World, error) {
	m, err := t.src.Log.Get(ctx, 1)
	if err != nil {
		return nil, err
	}
	r, err := persistence.DecodeRecord(m.Body)
	if err != nil || r.Genesis == nil {
		return nil, err
	}
	recorded := persistence.Recorded{Genesis: r.Genesis, Schema: r.Genesis.Schema, Build: r.Genesis.Build, Epoch: r.Epoch}
	if err := recorded.Reads(t.game); err != nil {
		t.log.Warn("commands cannot be shown", "error", err)
		return nil, nil
	}
	w, err := ecs.New(t.game, ecs.Config{Seed: r.Genesis.Seed, Options: r.Genesis.Options})
	if err != nil {
		t.log.Warn("commands cannot be shown: this build cannot make the log's world", "game", r.Genesis.Game, "error", err)
		return nil, nil
	}
	return w, nil
}

func (t *tailer) one(m persistence.Message) error {
	r, err := persistence.DecodeRecord(m.Body)
	if err != nil {
		return err
	}
	out := tailRecord{Seq: uint64(m.Seq), Kind: r.Kind.String(), Epoch: uint64(r.Epoch), Bytes: len(m.Body), Previous: r.Prev.String()}
	switch {
	case r.Genesis != nil:
		g := r.Genesis
		out.Detail = fmt.Sprintf("game %s, shard %s, lineage %s, seed %d, options %s, build %s", g.Game, g.Shard, g.Lineage, g.Seed, g.Options, g.Build.ID)
	case r.EpochStart != nil:
		out.Detail = fmt.Sprintf("node %s, after tick %d, build %s", r.EpochStart.Node, r.EpochStart.From, r.EpochStart.Build.ID)
	case r.Seal != nil:
		out.Detail = t.end(r.Seal)
	}
	for i := range r.Ticks {
		out.Ticks = append(out.Ticks, t.tick(&r.Ticks[i]))
	}
	switch {
	case t.json && t.follow:
		return json.NewEncoder(t.stdout).Encode(out)
	case t.json:
		t.records = append(t.records, out)
		return nil
	}
	return t.text(out)
}

// end describes the end of a room.
func (t *tailer) end(s *persistence.Seal) string {
	text := fmt.Sprintf("node %s, after tick %d, reason %s", s.Node, s.Tick, s.Reason)
	if s.By != "" {
		text += ", by " + s.By
	}
	if s.Result == nil {
		return text
	}
	text += ", " + s.Result.Name
	if t.world == nil {
		return text
	}
	for _, o := range t.world.Schema().Outgoing {
		if o.Name == s.Result.Name {
			text += o.Format(s.Result.Payload)
		}
	}
	return text
}

func (t *tailer) tick(r *persistence.TickRecord) tailTick {
	out := tailTick{Tick: r.Tick, Checksum: fmt.Sprintf("%016x", r.Checksum), Bytes: len(r.Frame), Outbox: len(r.Outbox)}
	for _, f := range r.Failures {
		out.Failures = append(out.Failures, fmt.Sprintf("%s: %s", f.System, f.Reason))
	}
	if t.world == nil || t.world.Tick()+1 != r.Tick {
		return out
	}
	if err := t.world.DecodeFrame(r.Frame, &t.frame); err != nil {
		t.world = nil
		return out
	}
	out.Counts = map[string]int{}
	for _, c := range t.frame.Commands {
		typ := &t.world.Schema().Commands[c.Kind]
		out.Counts[typ.Name]++
		if t.commands {
			out.Commands = append(out.Commands, tailCommand{typ.Name, c.Source.String(), c.Seq, c.Flags&ecs.FlagRepeated != 0, c.Flags&ecs.FlagNeutral != 0, typ.Format(c.Payload)})
		}
	}
	t.world.Step(t.frame)
	return out
}

func (t *tailer) text(r tailRecord) error {
	if len(r.Ticks) == 0 {
		_, err := fmt.Fprintf(t.stdout, "%8d  %-7s epoch %d  %d B  %s\n", r.Seq, r.Kind, r.Epoch, r.Bytes, r.Detail)
		return err
	}
	for i := 0; i < len(r.Ticks); i++ {
		first := r.Ticks[i].Tick
		for i+1 < len(r.Ticks) && r.Ticks[i].silent() && r.Ticks[i+1].silent() {
			i++ // a room in which nobody is has hundreds
		}
		tick := &r.Ticks[i]
		which := fmt.Sprintf("tick %-8d", tick.Tick)
		if first < tick.Tick {
			which = fmt.Sprintf("ticks %-7s", fmt.Sprintf("%d-%d", first, tick.Tick))
		}
		var counts []string
		for name, n := range tick.Counts {
			counts = append(counts, fmt.Sprintf("%d %s", n, name))
		}
		slices.Sort(counts)
		if _, err := fmt.Fprintf(t.stdout, "%8d  %s epoch %d  checksum %s  %d B  %s\n", r.Seq, which, r.Epoch, tick.Checksum, r.Bytes, strings.Join(counts, ", ")); err != nil {
			return err
		}
		for _, c := range tick.Commands {
			repeated := ""
			switch {
			case c.Neutral:
				repeated = " (neutral)"
			case c.Repeated:
				repeated = " (repeated)"
			}
			fmt.Fprintf(t.stdout, "          %s #%d %s%s%s\n", c.From, c.Seq, c.Name, c.Value, repeated)
		}
		for _, f := range tick.Failures {
			fmt.Fprintf(t.stdout, "          failure: %s\n", f)
		}
	}
	return nil
}
