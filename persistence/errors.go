package persistence

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// Errors that callers branch on. Wind's logs, delta streams and snapshot stores
// return them wrapped; test with errors.Is.
var (
	// ErrConflict means that the last sequence is not the expected one: another
	// message, or an earlier copy of the same one, was appended.
	ErrConflict = errors.New("persistence: the last sequence is not the expected one")
	// ErrAmbiguous means that no acknowledgement arrived (timeout, disconnect): the
	// message may or may not be stored. Resend the identical bytes with the same
	// expected sequence; if the log refuses them, read that sequence back.
	ErrAmbiguous = errors.New("persistence: no acknowledgement: the append may have happened")
	// ErrFull means that the store has reached its byte limit. It does not mean that
	// the owner is fenced: hold the tick and raise the alarm.
	ErrFull = errors.New("persistence: the store is full")
	// ErrDiskFull means that the disk under the store is full. Resend the message
	// later; the store recovers as soon as there is room.
	ErrDiskFull = errors.New("persistence: the disk is full")
	// ErrReadOnly means that the store's directory cannot be written to: its file
	// system is read-only or broken, or belongs to another user.
	ErrReadOnly = errors.New("persistence: the store cannot be written")
	// ErrNotFound means that no such message or snapshot is stored.
	ErrNotFound = errors.New("persistence: not found")
	// ErrGap means that a message inside the requested range is missing.
	ErrGap = errors.New("persistence: gap")
	// ErrCorrupt matches every *CorruptError.
	ErrCorrupt = errors.New("persistence: corrupt")
	// ErrVersion matches every *VersionError.
	ErrVersion = errors.New("persistence: unknown format version")
	// ErrUnproven means that a snapshot, read back from its store, could not be
	// restored, or not to the same world. The store does not keep it.
	ErrUnproven = errors.New("persistence: not proven")
	// ErrLost matches every *LostError.
	ErrLost = errors.New("persistence: history lost")
	// ErrSchema matches every *SchemaError.
	ErrSchema = errors.New("persistence: another schema")
	// ErrDiverged matches every *DivergedError.
	ErrDiverged = errors.New("persistence: replay diverged")
)

// CorruptError reports stored bytes that differ from what was written, or that
// are not in the place where they were written.
type CorruptError struct {
	What   string // "record", "delta", "snapshot" or "file"
	Seq    Seq    // the damaged sequence; 0 when unknown
	Tick   uint64 // the first tick that is no longer proven; 0 when unknown
	Reason string
	Rule   string // the broken invariant (OWNERSHIP.md of package shard lists them): "I2", "I3", "I4"; "" when only the bytes are damaged
	Err    error  // the cause, or nil
}

// Error names sequence and tick first.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("persistence: %s is corrupt: %s", place(e.What, e.Seq, e.Tick), e.Reason)
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// VersionError reports bytes of a format version that this build does not read:
// one of a newer Wind, or one that never existed. The bytes may be intact.
type VersionError struct {
	What  string // "record", "delta", "snapshot" or "file"
	Seq   Seq    // where the bytes are stored; 0 when unknown
	Tick  uint64 // the tick expected there; 0 when unknown
	Found int    // the version in the bytes
	Known int    // the newest version that this build reads
}

// Error names both versions and says what to do.
func (e *VersionError) Error() string {
	return fmt.Sprintf("persistence: %s has %s", place(e.What, e.Seq, e.Tick), e.versions())
}

func (e *VersionError) versions() string {
	if e.Found > e.Known {
		return fmt.Sprintf("format version %d, this build reads up to %d: use a newer build", e.Found, e.Known)
	}
	reads := fmt.Sprintf("1 to %d", e.Known)
	if e.Known == 1 {
		reads = "only 1"
	}
	return fmt.Sprintf("format version %d, this build reads %s", e.Found, reads)
}

// Is reports whether target is ErrVersion.
func (e *VersionError) Is(target error) bool { return target == ErrVersion }

// LostError reports that the log lacks something that was committed to it: its
// tail was cut. See [History].
type LostError struct {
	Last         Seq    // the log's last sequence
	LastTick     uint64 // the last tick in the log; 0 when unknown
	Evidence     string // what proves the loss: "the high-water mark", "the delta stream", "snapshot main/3-812-…"
	EvidenceSeq  Seq    // the sequence that it refers to
	EvidenceTick uint64 // the tick that it refers to; 0 when unknown

	// Set when the log was cut but has grown past EvidenceSeq again:
	EvidenceEpoch Epoch // the epoch that wrote record EvidenceSeq; 0 when the log is too short
	Found         Epoch // the epoch of the record that is stored there now
}

// Error names the first lost sequence and tick.
func (e *LostError) Error() string {
	if e.EvidenceEpoch > 0 {
		return fmt.Sprintf("persistence: history lost: %s knows record %d of epoch %d, but the log has one of epoch %d there",
			e.Evidence, e.EvidenceSeq, e.EvidenceEpoch, e.Found)
	}
	if e.EvidenceSeq <= e.Last && e.EvidenceTick > e.LastTick {
		return fmt.Sprintf("persistence: history lost: %s knows tick %d, but the log, which has sequence %d, ends at tick %d",
			e.Evidence, e.EvidenceTick, e.EvidenceSeq, e.LastTick)
	}
	lastTick, tick := "", ""
	if e.LastTick > 0 {
		lastTick = fmt.Sprintf(", tick %d", e.LastTick)
	}
	if e.EvidenceTick > 0 {
		tick = fmt.Sprintf(" and tick %d", e.EvidenceTick)
	}
	return fmt.Sprintf("persistence: history lost: the log ends at sequence %d%s, but %s knows sequence %d%s",
		e.Last, lastTick, e.Evidence, e.EvidenceSeq, tick)
}

// Is reports whether target is ErrLost.
func (e *LostError) Is(target error) bool { return target == ErrLost }

// DivergedError reports that a re-simulated tick differs from the recorded one:
// the game is not deterministic, or this is a different build of it.
type DivergedError struct {
	Seq      Seq
	Tick     uint64 // the first tick that differs
	Recorded uint64 // checksum in the log
	Computed uint64 // checksum of the re-simulated world; 0 when the tick could not be simulated
	Reason   string // what differs: "checksum", "outbox", "failures", or why it could not be simulated
	Build    string // id of the build that recorded the tick; "" when unknown

	// If the tick's recorded delta is stored: the values that differ, recorded (Have) and computed (Other),
	// MaxDifferences at most, and their total number.
	Differences []ecs.Difference
	Differing   int
}

// MaxDifferences is how many differing values a DivergedError lists at most.
const MaxDifferences = 20

// Error names sequence, tick and what differs.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("persistence: replay diverges at tick %d (record %d): %s", e.Tick, e.Seq, e.differs())
}

// differs names what differs, with the checksums if they do, and who recorded the tick.
func (e *DivergedError) differs() string {
	s := e.Reason
	switch e.Computed {
	case 0:
		s += fmt.Sprintf("; the tick, recorded with checksum %016x, could not be simulated", e.Recorded)
	case e.Recorded:
		s += fmt.Sprintf("; the state is the recorded one, checksum %016x", e.Recorded)
	default:
		s += fmt.Sprintf(": recorded %016x, computed %016x", e.Recorded, e.Computed)
	}
	if e.Build != "" {
		s += fmt.Sprintf("; build %s recorded it: run that build to tell changed game logic from damage", e.Build)
	}
	if len(e.Differences) > 0 {
		s += fmt.Sprintf("; values that differ: %d, the first is %s", e.Differing, e.Differences[0].Between("recorded", "computed"))
	}
	return s
}

// Values describes the differing values, one a line, and says how many more there are.
func (e *DivergedError) Values() (lines []string) {
	for _, d := range e.Differences {
		lines = append(lines, d.Between("recorded", "computed"))
	}
	if more := e.Differing - len(e.Differences); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines
}

// Compare sets Differences and Differing from the recorded and the computed world of the tick.
func (e *DivergedError) Compare(recorded, computed *ecs.World) {
	e.Differences, e.Differing = ecs.Differences(recorded, computed, MaxDifferences)
}

// Is reports whether target is ErrDiverged.
func (e *DivergedError) Is(target error) bool { return target == ErrDiverged }

// SchemaError reports that the recording build had different types from this one. The stored data may be intact.
type SchemaError struct {
	Build   ecs.Build // the recording build; the zero value when unknown
	Epoch   Epoch     // in which it recorded
	Changes []ecs.SchemaChange
	Err     error // the failure that the difference caused, or nil
}

// maxChanges is how many changes an error names at most.
const maxChanges = 6

// Error names the types and fields that differ and says what to do.
func (e *SchemaError) Error() string {
	s := e.Differs()
	if e.Err != nil {
		s += fmt.Sprintf(" (%v)", e.Err)
	}
	return s + ": run the build that wrote the log, or begin another shard with --shard or --data"
}

// Differs names the recording build and how its schema differs from this build's: Error without the advice.
func (e *SchemaError) Differs() string {
	build := "build " + e.Build.ID
	if e.Build.ID == "" {
		build = "another build"
	}
	return fmt.Sprintf("epoch %d was recorded by %s, with a different schema from this build's: %s", e.Epoch, build, ecs.DescribeChanges(e.Changes, maxChanges))
}

// Is reports whether target is ErrSchema.
func (e *SchemaError) Is(target error) bool { return target == ErrSchema }

// Unwrap returns Err.
func (e *SchemaError) Unwrap() error { return e.Err }

// Breaks returns which parts of the recording this build cannot use; nothing if e is nil.
func (e *SchemaError) Breaks() ecs.Breaks {
	if e == nil {
		return 0
	}
	return ecs.Broken(e.Changes)
}

// Carried reports whether this build can continue the other build's shard: whether it can restore a snapshot
// and then re-simulate the later ticks or apply their deltas.
func (e *SchemaError) Carried() bool {
	const either = ecs.BreaksTicks | ecs.BreaksDeltas
	b := e.Breaks() // 0 when e is nil
	return b&ecs.BreaksState == 0 && b&either != either
}

// place describes a message by its kind, sequence and tick, as far as they are known.
func place(what string, seq Seq, tick uint64) string {
	if what == "" {
		what = "message"
	}
	switch {
	case strings.HasPrefix(what, "file") && what != fileAtRecord:
		return what // the reason says how far the whole file is intact
	case seq > 0 && tick > 0:
		return fmt.Sprintf("%s %d (tick %d)", what, seq, tick)
	case seq > 0:
		return fmt.Sprintf("%s %d", what, seq)
	case tick > 0:
		return fmt.Sprintf("%s of tick %d", what, tick)
	}
	return what
}

// at adds sequence and tick to a decoder's error: decoders see bytes only.
func at(err error, seq Seq, tick uint64) error {
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		c := *corrupt
		c.Seq, c.Tick = seq, tick
		return &c
	}
	var version *VersionError
	if errors.As(err, &version) {
		v := *version
		v.Seq, v.Tick = seq, tick
		return &v
	}
	return err
}
