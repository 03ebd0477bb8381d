package persistence

import (
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// Limits that every encoder keeps and every decoder demands.
const (
	MaxRecordBytes = 8 << 20 // one encoded record; a store's own payload limit is usually lower
	MaxTicks       = 8       // ticks in one record: so many ticks of debt are worked off at once, nothing reading in between
	MaxOutbox      = 1 << 16 // messages or failures of one tick
	maxNameBytes   = 256     // names of games, nodes, systems, messages
	maxTextBytes   = 4 << 10 // reasons
	maxSchemaBytes = 4 << 20 // a schema as JSON
	maxKindBytes   = 16      // "genesis"
	maxLineage     = 64      // a lineage is a UUID of 36 bytes; tests use shorter ones
)

// RecordKind says what a record holds.
type RecordKind uint8

// The kinds of records.
const (
	KindGenesis RecordKind = iota + 1 // the shard's first record
	KindEpoch                         // an owner begins
	KindTicks                         // one to MaxTicks committed ticks
)

// String returns the kind as it stands in records and headers.
func (k RecordKind) String() string {
	switch k {
	case KindGenesis:
		return "genesis"
	case KindEpoch:
		return "epoch"
	case KindTicks:
		return "ticks"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Record is what the log holds for one commit.
type Record struct {
	Kind  RecordKind
	Seq   Seq   // its place in the log, also inside its bytes: a record in another place is found
	Epoch Epoch // the owner's that wrote it
	Prev  Hash  // of the body of record Seq-1; zero for genesis

	Genesis    *Genesis     // KindGenesis
	EpochStart *EpochStart  // KindEpoch
	Ticks      []TickRecord // KindTicks: consecutive
}

// Genesis is what a shard is, for life.
type Genesis struct {
	Lineage  string // a UUID, never reused
	Cluster  string // [a-z0-9-]{1,40}
	Shard    string // [a-z0-9-]{1,40}
	Game     string // ecs.Game.Name
	Options  []byte // canonical JSON
	Seed     uint64
	TickRate int    // ticks per second, 1 to 240
	Schema   []byte // JSON of ecs.Schema
	Build    ecs.Build
}

// EpochStart fences: with it in the log, its epoch owns the shard.
type EpochStart struct {
	Node   string // who begins
	Build  ecs.Build
	Schema []byte // JSON of ecs.Schema; empty when it is the one in force
	From   uint64 // the last tick before it
}

// TickRecord is one committed tick.
type TickRecord struct {
	Tick     uint64
	Frame    []byte        // ecs.World.AppendFrame: the commands as they were used
	Checksum uint64        // of the world after the tick
	Outbox   []ecs.Message // what leaves the shard once the record is committed
	Failures []ecs.Failure // contained panics and invalid commands; rejections are not recorded, a replay finds them again
}

// NewTickRecord returns what is to be logged of a tick: the one place that
// decides which parts of an output are recorded. It shares memory with frame
// and out.
func NewTickRecord(frame []byte, out ecs.Output) TickRecord {
	return TickRecord{Tick: out.Tick, Frame: frame, Checksum: out.Checksum, Outbox: out.Outbox, Failures: panics(out.Failures)}
}

// panics returns the failures that are not mere rejections.
func panics(all []ecs.Failure) []ecs.Failure {
	var kept []ecs.Failure
	for _, f := range all {
		if !f.Rejected {
			kept = append(kept, f)
		}
	}
	return kept
}

// FirstTick returns the first tick of the record; for genesis 0, for an epoch
// record the last tick before it.
func (r *Record) FirstTick() uint64 {
	if r.Kind == KindTicks && len(r.Ticks) > 0 {
		return r.Ticks[0].Tick
	}
	return r.LastTick()
}

// LastTick returns the last tick of the record, as FirstTick does the first.
func (r *Record) LastTick() uint64 {
	switch {
	case r.Kind == KindTicks && len(r.Ticks) > 0:
		return r.Ticks[len(r.Ticks)-1].Tick
	case r.Kind == KindEpoch && r.EpochStart != nil:
		return r.EpochStart.From
	}
	return 0
}

// Checksum returns the checksum after LastTick, 0 for a record without ticks.
func (r *Record) Checksum() uint64 {
	if r.Kind == KindTicks && len(r.Ticks) > 0 {
		return r.Ticks[len(r.Ticks)-1].Checksum
	}
	return 0
}

// Header returns the readable summary that is stored beside the record.
func (r *Record) Header() Header {
	return Header{
		Kind: r.Kind.String(), FirstTick: r.FirstTick(), LastTick: r.LastTick(), Epoch: r.Epoch,
		Checksum: r.Checksum(), Version: FormatVersion,
	}
}

// Message returns what a log stores for r, whose encoding body is.
func (r *Record) Message(body []byte) Message {
	return Message{Seq: r.Seq, Header: r.Header(), Body: body}
}

// validate says what no record may be, whoever wrote it. What it must be in its
// place in a log is the Chain's business.
func (r *Record) validate() error {
	if r.Seq == 0 {
		return fmt.Errorf("sequence 0")
	}
	if (r.Genesis != nil) != (r.Kind == KindGenesis) || (r.EpochStart != nil) != (r.Kind == KindEpoch) ||
		(len(r.Ticks) > 0) != (r.Kind == KindTicks) {
		return fmt.Errorf("a record of kind %s holds something else", r.Kind)
	}
	switch r.Kind {
	case KindGenesis:
		return r.Genesis.validate()
	case KindEpoch:
		return validName("node", r.EpochStart.Node)
	case KindTicks:
		return validTicks(r.Ticks)
	}
	return fmt.Errorf("unknown kind %d", r.Kind)
}

func (g *Genesis) validate() error {
	for _, err := range []error{ValidShardName(g.Cluster), ValidShardName(g.Shard), validName("game", g.Game), validLineage(g.Lineage)} {
		if err != nil {
			return err
		}
	}
	if g.TickRate < 1 || g.TickRate > 240 {
		return fmt.Errorf("a tick rate of %d, 1 to 240 are allowed", g.TickRate)
	}
	return nil
}

func validTicks(ticks []TickRecord) error {
	if len(ticks) > MaxTicks {
		return fmt.Errorf("%d ticks in one record, at most %d are allowed", len(ticks), MaxTicks)
	}
	for i := range ticks {
		if want := ticks[0].Tick + uint64(i); ticks[i].Tick != want || want == 0 {
			return fmt.Errorf("tick %d where %d is due", ticks[i].Tick, max(want, 1))
		}
	}
	return nil
}

// ValidShardName says why s cannot name a cluster or a shard: see ecs.ValidName.
func ValidShardName(s string) error {
	if err := ecs.ValidName(s, ecs.MaxName); err != nil {
		return fmt.Errorf("persistence: %w", err)
	}
	return nil
}

func validLineage(s string) error {
	if len(s) < 1 || len(s) > maxLineage {
		return fmt.Errorf("lineage %q has %d bytes, 1 to %d are allowed", s, len(s), maxLineage)
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("lineage %q: only letters, digits and - are allowed", s)
		}
	}
	return nil
}

func validName(what, s string) error {
	if len(s) < 1 || len(s) > maxNameBytes {
		return fmt.Errorf("%s %.40q has %d bytes, 1 to %d are allowed", what, s, len(s), maxNameBytes)
	}
	return nil
}
