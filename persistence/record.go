package persistence

import (
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// Limits that every encoder and decoder enforces.
const (
	MaxRecordBytes = 8 << 20 // one encoded record; a store's own payload limit is usually lower
	MaxTicks       = 256     // ticks in one record; nothing is read in between
	MaxOutbox      = 1 << 16 // messages or failures of one tick
	maxNameBytes   = 256     // names of games, nodes, systems, messages
	maxTextBytes   = 4 << 10 // reasons
	maxSchemaBytes = 4 << 20 // a schema as JSON
	maxKindBytes   = 16      // "genesis"
	maxLineage     = 64      // a lineage is a UUID of 36 bytes; tests use shorter ones
)

// RecordKind is the kind of a record.
type RecordKind uint8

// The kinds of records.
const (
	KindGenesis RecordKind = iota + 1 // the shard's first record
	KindEpoch                         // an owner begins
	KindTicks                         // one to MaxTicks committed ticks
	KindSeal                          // the log's last record: nothing may follow it
)

// String returns the kind as records and headers spell it.
func (k RecordKind) String() string {
	switch k {
	case KindGenesis:
		return "genesis"
	case KindEpoch:
		return "epoch"
	case KindTicks:
		return "ticks"
	case KindSeal:
		return "seal"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Record is the log's entry for one commit.
type Record struct {
	Kind  RecordKind
	Seq   Seq   // its place in the log; encoded too, so that a misplaced record is detected
	Epoch Epoch // of the owner that wrote it
	Prev  Hash  // hash of the body of record Seq-1; zero for genesis

	Genesis    *Genesis     // KindGenesis
	EpochStart *EpochStart  // KindEpoch
	Ticks      []TickRecord // KindTicks: consecutive
	Seal       *Seal        // KindSeal
}

// Genesis describes a shard. It never changes during the shard's life.
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

// EpochStart fences earlier owners: once it is in the log, its epoch owns the shard.
type EpochStart struct {
	Node   string // the new owner
	Build  ecs.Build
	Schema []byte // JSON of ecs.Schema; empty when the schema does not change
	From   uint64 // the last tick before it
}

// Seal ends the log of a room that is over: nothing may follow it.
type Seal struct {
	Node   string       // the owner that wrote it
	Tick   uint64       // the room's last
	Reason EndReason    // why the room ended
	By     string       // who ended it with EndClosed: a service, "" for an operator
	Result *ecs.Message // with EndResult: what the game said in its last tick (ecs.Tick.End)
}

// EndReason says why a room ended.
type EndReason string

// The reasons.
const (
	EndResult EndReason = "result" // its game ended it
	EndIdle   EndReason = "idle"   // nobody was there for its idle time
	EndLimit  EndReason = "limit"  // its total time was over
	EndClosed EndReason = "closed" // an operator or a service closed it
)

// TickRecord is one committed tick.
type TickRecord struct {
	Tick     uint64
	Frame    []byte        // ecs.World.AppendFrame: the commands as the tick used them
	Checksum uint64        // of the world after the tick
	Outbox   []ecs.Message // what leaves the shard once the record is committed
	Failures []ecs.Failure // contained panics and invalid commands; not rejections, which a replay reproduces
}

// NewTickRecord returns what to log of a tick. It alone decides which parts of an
// output are recorded. The result shares memory with frame and out.
func NewTickRecord(frame []byte, out ecs.Output) TickRecord {
	return TickRecord{Tick: out.Tick, Frame: frame, Checksum: out.Checksum, Outbox: out.Outbox, Failures: panics(out.Failures)}
}

// panics returns the failures that are not rejections.
func panics(all []ecs.Failure) []ecs.Failure {
	var kept []ecs.Failure
	for _, f := range all {
		if !f.Rejected {
			kept = append(kept, f)
		}
	}
	return kept
}

// Result returns what the game said when it ended its room in the record's last
// tick (ecs.Tick.End). It returns false if the room goes on.
func (r *Record) Result() (ecs.Message, bool) {
	if len(r.Ticks) == 0 {
		return ecs.Message{}, false
	}
	return ecs.Result(r.Ticks[len(r.Ticks)-1].Outbox)
}

// FirstTick returns the first tick of the record: 0 for genesis, the last tick
// before it for an epoch record and a seal.
func (r *Record) FirstTick() uint64 {
	if r.Kind == KindTicks && len(r.Ticks) > 0 {
		return r.Ticks[0].Tick
	}
	return r.LastTick()
}

// LastTick returns the last tick of the record; without ticks it equals FirstTick.
func (r *Record) LastTick() uint64 {
	switch {
	case r.Kind == KindTicks && len(r.Ticks) > 0:
		return r.Ticks[len(r.Ticks)-1].Tick
	case r.Kind == KindEpoch && r.EpochStart != nil:
		return r.EpochStart.From
	case r.Kind == KindSeal && r.Seal != nil:
		return r.Seal.Tick
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

// Header returns the readable summary stored beside the record.
func (r *Record) Header() Header {
	return Header{
		Kind: r.Kind.String(), FirstTick: r.FirstTick(), LastTick: r.LastTick(), Epoch: r.Epoch,
		Checksum: r.Checksum(), Version: r.version(),
	}
}

// version returns the format version of the record: earlier builds know no seals.
func (r *Record) version() int {
	if r.Kind == KindSeal {
		return sealVersion
	}
	return FormatVersion
}

// sealVersion is the format version of a seal, and the newest of a record.
const sealVersion = 2

// Message returns what a log stores for r. body is r's encoding.
func (r *Record) Message(body []byte) Message {
	return Message{Seq: r.Seq, Header: r.Header(), Body: body}
}

// validate checks the rules that hold for any record on its own. The Chain checks
// those that depend on its place in a log.
func (r *Record) validate() error {
	if r.Seq == 0 {
		return fmt.Errorf("sequence 0")
	}
	if (r.Genesis != nil) != (r.Kind == KindGenesis) || (r.EpochStart != nil) != (r.Kind == KindEpoch) ||
		(len(r.Ticks) > 0) != (r.Kind == KindTicks) || (r.Seal != nil) != (r.Kind == KindSeal) {
		return fmt.Errorf("a record of kind %s has the content of another kind", r.Kind)
	}
	switch r.Kind {
	case KindGenesis:
		return r.Genesis.validate()
	case KindEpoch:
		return validName("node", r.EpochStart.Node)
	case KindTicks:
		return validTicks(r.Ticks)
	case KindSeal:
		return r.Seal.validate()
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
		return fmt.Errorf("the tick rate is %d, want 1 to 240", g.TickRate)
	}
	return nil
}

func (s *Seal) validate() error {
	if err := validName("node", s.Node); err != nil {
		return err
	}
	if (s.Result != nil) != (s.Reason == EndResult) {
		return fmt.Errorf("a room that ended for the reason %q has a result: %v", s.Reason, s.Result != nil)
	}
	switch s.Reason {
	case EndResult, EndIdle, EndLimit, EndClosed:
		return nil
	}
	return fmt.Errorf("unknown reason %.40q", string(s.Reason))
}

func validTicks(ticks []TickRecord) error {
	if len(ticks) > MaxTicks {
		return fmt.Errorf("%d ticks in one record, at most %d are allowed", len(ticks), MaxTicks)
	}
	for i := range ticks {
		if want := ticks[0].Tick + uint64(i); ticks[i].Tick != want || want == 0 {
			return fmt.Errorf("tick %d where tick %d was expected", ticks[i].Tick, max(want, 1))
		}
		if _, ends := ecs.Result(ticks[i].Outbox); ends && i < len(ticks)-1 {
			return fmt.Errorf("tick %d ended the room, and tick %d follows it", ticks[i].Tick, ticks[i].Tick+1)
		}
	}
	return nil
}

// ValidShardName returns an error unless s is valid for a cluster or a shard: see ecs.ValidName.
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
