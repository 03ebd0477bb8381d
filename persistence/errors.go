package persistence

import (
	"errors"
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// Errors that callers branch on. Each log, delta stream and snapshot store of
// Wind returns them wrapped; test with errors.Is.
var (
	// ErrConflict says that the last sequence is not the expected one: something
	// else was appended, or an earlier copy of the same message.
	ErrConflict = errors.New("persistence: the last sequence is not the expected one")
	// ErrAmbiguous says that no acknowledgement came (time-out, disconnect): the
	// message may be stored or not. Resend the identical bytes with the same
	// expectation and, if that is refused, read that sequence back.
	ErrAmbiguous = errors.New("persistence: no acknowledgement, the append may have happened")
	// ErrFull says that the store refused because of its byte limit. It is not
	// fencing: hold the tick and raise the alarm.
	ErrFull = errors.New("persistence: the store is full")
	// ErrDiskFull says that the disk under the store is full. The message can be
	// sent again; the store notices by itself when there is room.
	ErrDiskFull = errors.New("persistence: the disk is full")
	// ErrReadOnly says that the store's directory cannot be written: its file
	// system is read-only or broken, or belongs to another user.
	ErrReadOnly = errors.New("persistence: the store cannot be written")
	// ErrNotFound says that no such message or snapshot is stored.
	ErrNotFound = errors.New("persistence: not found")
	// ErrGap says that a message is missing inside the range that was asked for.
	ErrGap = errors.New("persistence: gap")
	// ErrCorrupt is what every *CorruptError is.
	ErrCorrupt = errors.New("persistence: corrupt")
	// ErrVersion is what every *VersionError is.
	ErrVersion = errors.New("persistence: unknown format version")
	// ErrUnproven says that a snapshot was read back from its store and could not
	// be restored, or not to the world that it was taken of. It is not stored.
	ErrUnproven = errors.New("persistence: not proven")
	// ErrLost is what every *LostError is.
	ErrLost = errors.New("persistence: history lost")
	// ErrSchema is what every *SchemaError is.
	ErrSchema = errors.New("persistence: another schema")
	// ErrDiverged is what every *DivergedError is.
	ErrDiverged = errors.New("persistence: replay diverged")
)

// CorruptError says that stored bytes are not what was once written, or not in
// the place where they were written.
type CorruptError struct {
	What   string // "record", "delta", "snapshot" or "file"
	Seq    Seq    // the sequence that is damaged; 0 when unknown
	Tick   uint64 // the first tick that is no longer proven; 0 when unknown
	Reason string
	Rule   string // the invariant that is broken (OWNERSHIP.md of package shard lists them): "I2", "I3", "I4"; "" when the bytes alone are
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

// VersionError says that bytes were written by a newer Wind than this one, or
// by none that ever was. They may be perfectly intact.
type VersionError struct {
	What  string // "record", "delta", "snapshot" or "file"
	Seq   Seq    // where it was met; 0 when unknown
	Tick  uint64 // the tick expected there; 0 when unknown
	Found int    // the version that the bytes name
	Known int    // the newest version that this build reads
}

// Error names both versions and the way out.
func (e *VersionError) Error() string {
	if e.Found > e.Known {
		return fmt.Sprintf("persistence: %s has format version %d, this build reads up to %d: use a newer build",
			place(e.What, e.Seq, e.Tick), e.Found, e.Known)
	}
	return fmt.Sprintf("persistence: %s has format version %d, this build reads 1 to %d", place(e.What, e.Seq, e.Tick), e.Found, e.Known)
}

// Is reports whether target is ErrVersion.
func (e *VersionError) Is(target error) bool { return target == ErrVersion }

// LostError says that the log lacks something that was once committed to it: its
// tail was cut. See [History].
type LostError struct {
	Last         Seq    // the log's last sequence
	LastTick     uint64 // the last tick in the log; 0 when unknown
	Evidence     string // what knows more: "the high-water mark", "the delta stream", "snapshot main/3-812-…"
	EvidenceSeq  Seq    // the sequence that it knows of
	EvidenceTick uint64 // the tick that it knows of; 0 when it knows none

	// Where the log is long enough, but was cut and has grown again:
	EvidenceEpoch Epoch // in which record EvidenceSeq was written; 0: the log is too short
	Found         Epoch // of the record that stands there now
}

// Error names the first lost sequence and tick.
func (e *LostError) Error() string {
	if e.EvidenceEpoch > 0 {
		return fmt.Sprintf("persistence: history lost: %s knows record %d of epoch %d, the log has one of epoch %d there",
			e.Evidence, e.EvidenceSeq, e.EvidenceEpoch, e.Found)
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

// DivergedError says that a re-simulated tick is not the tick that was
// recorded: the game is not deterministic, or it is another build of it.
type DivergedError struct {
	Seq      Seq
	Tick     uint64 // the first tick that differs
	Recorded uint64 // checksum in the log
	Computed uint64 // checksum of the re-simulated world; 0 when the tick could not be simulated
	Reason   string // what differs: "checksum", "outbox", "failures", or why it could not be simulated
	Build    string // id of the build that recorded; "" when nothing says it

	// Where the recorded delta of the tick is there: the values that differ, recorded (Have) and computed
	// (Other), MaxDifferences at most, and how many there are.
	Differences []ecs.Difference
	Differing   int
}

// MaxDifferences is how many differing values an error holds.
const MaxDifferences = 20

// Error names sequence, tick and both checksums.
func (e *DivergedError) Error() string {
	s := fmt.Sprintf("persistence: replay diverges at tick %d (record %d): %s: recorded %016x, computed %016x",
		e.Tick, e.Seq, e.Reason, e.Recorded, e.Computed)
	if e.Build != "" {
		s += fmt.Sprintf("; build %s recorded it: run that one to tell other game logic from damage", e.Build)
	}
	if len(e.Differences) > 0 {
		s += fmt.Sprintf("; %d values differ, the first is %s", e.Differing, e.Differences[0].Between("recorded", "computed"))
	}
	return s
}

// Values names the values that differ, one a line, and how many more there are.
func (e *DivergedError) Values() (lines []string) {
	for _, d := range e.Differences {
		lines = append(lines, d.Between("recorded", "computed"))
	}
	if more := e.Differing - len(e.Differences); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines
}

// Compare fills in what differs between the recorded and the computed world of the tick.
func (e *DivergedError) Compare(recorded, computed *ecs.World) {
	e.Differences, e.Differing = ecs.Differences(recorded, computed, MaxDifferences)
}

// Is reports whether target is ErrDiverged.
func (e *DivergedError) Is(target error) bool { return target == ErrDiverged }

// SchemaError says that something was recorded by a build with other types than this one's. What is stored
// may be perfectly intact.
type SchemaError struct {
	Build   ecs.Build // that recorded; the zero value when nothing says it
	Epoch   Epoch     // in which it did
	Changes []ecs.SchemaChange
	Err     error // what went wrong for it, or nil
}

// maxChanges is how many changes an error names.
const maxChanges = 6

// Error names the types and fields that differ and the way out.
func (e *SchemaError) Error() string {
	s := e.Differs()
	if e.Err != nil {
		s += fmt.Sprintf(" (%v)", e.Err)
	}
	return s + ": run the build that wrote the log, or begin another shard with --shard or --data"
}

// Differs is Error without the way out: which build recorded, and what is another in this one.
func (e *SchemaError) Differs() string {
	build := "build " + e.Build.ID
	if e.Build.ID == "" {
		build = "another build"
	}
	return fmt.Sprintf("epoch %d was recorded by %s, with another schema than this build's: %s", e.Epoch, build, ecs.DescribeChanges(e.Changes, maxChanges))
}

// Is reports whether target is ErrSchema.
func (e *SchemaError) Is(target error) bool { return target == ErrSchema }

// Unwrap returns what went wrong for it.
func (e *SchemaError) Unwrap() error { return e.Err }

// Breaks says what of the recording this build cannot use.
func (e *SchemaError) Breaks() ecs.Breaks {
	if e == nil {
		return 0
	}
	return ecs.Broken(e.Changes)
}

// Carried reports whether this build can go on with a shard that the other one left: a snapshot of it can be
// restored, and the ticks behind it can be simulated again or applied from their deltas.
func (e *SchemaError) Carried() bool {
	const either = ecs.BreaksTicks | ecs.BreaksDeltas
	b := e.Breaks() // of nothing when e is nil
	return b&ecs.BreaksState == 0 && b&either != either
}

// place words what was found where.
func place(what string, seq Seq, tick uint64) string {
	if what == "" {
		what = "message"
	}
	switch {
	case seq > 0 && tick > 0:
		return fmt.Sprintf("%s %d (tick %d)", what, seq, tick)
	case seq > 0:
		return fmt.Sprintf("%s %d", what, seq)
	case tick > 0:
		return fmt.Sprintf("%s of tick %d", what, tick)
	}
	return what
}

// at fills in where an error of a decoder happened: decoders see bytes only.
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
