package persistence

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// This file holds the rule that each cause is one finding: what only follows from damage that was already found is
// added to that finding.

// maxListed is how many consequences of one kind a finding lists one by one.
const maxListed = 3

// breach is a place where the log's chain broke: one or more records in a row that cannot be proven.
type breach struct {
	finding   int // in the report; -1 when unlisted
	from, to  Seq
	reason    string   // of the last record
	others    []string // records after the first with another reason
	more      int      // others beyond maxListed
	deltas    int      // messages of the delta stream about its ticks
	snapshots []string
}

// widen adds the next record, which cannot be proven either.
func (b *breach) widen(seq Seq, reason string) {
	b.to = seq
	if reason == b.reason {
		return
	}
	if b.reason = reason; len(b.others) < maxListed {
		b.others = append(b.others, fmt.Sprintf("sequence %d: %s", seq, reason))
	} else {
		b.more++
	}
}

// consequences says what follows from the breach besides ticks without a state to start from.
func (b *breach) consequences() (then []string) {
	then = b.others
	if b.more > 0 {
		then = append(then, fmt.Sprintf("more records up to sequence %d: %d", b.to, b.more))
	}
	if b.deltas > 0 {
		then = append(then, fmt.Sprintf("deltas without a record to compare them with: %d", b.deltas))
	}
	if len(b.snapshots) > 0 {
		then = append(then, "snapshots without a record to prove them: "+strings.Join(b.snapshots, ", "))
	}
	return then
}

// idle is a run of ticks that were not re-simulated, because damage left no state to start from.
type idle struct {
	finding int // the damage
	ticks   TickRange
	waits   bool
}

func (i *idle) tick(tick uint64) {
	if !i.waits {
		return
	}
	if i.ticks.Last = tick; i.ticks.First == 0 {
		i.ticks.First = tick
	}
}

// stalled ends the re-simulation until the next snapshot, because of a finding.
func (c *checker) stalled(finding int) {
	c.rooted, c.world = false, nil
	if c.o.Game != nil && c.report.Unproven == nil && !c.idle.waits {
		c.idle = idle{finding: finding, waits: true}
	}
}

// resumed ends a run of ticks that were not re-simulated: at a snapshot, or at the log's end.
func (c *checker) resumed() {
	if c.idle.waits && c.idle.ticks.First > 0 {
		c.follow(c.idle.finding, c.idle.ticks.String()+" not re-simulated: there is no state to start from before the next sound snapshot")
	}
	c.idle = idle{}
}

// sound adds a tick to the ranges that can be replayed.
func (c *checker) sound(tick uint64) {
	if !c.rooted {
		return
	}
	all := c.report.Sound
	if n := len(all); n > 0 && all[n-1].Last+1 == tick {
		all[n-1].Last = tick
		return
	}
	c.report.Sound = append(all, TickRange{First: tick, Last: tick})
}

// broke begins a breach; its finding is in the report. The next record begins a new chain.
func (c *checker) broke(b *breach) {
	c.breaks, c.lost = append(c.breaks, b), true
	c.stalled(b.finding)
}

// refused reports that a stored record cannot be proven.
func (c *checker) refused(m Message, err error) {
	seq := m.Seq
	if b := c.torn(); b != nil && b.to+1 == seq {
		b.widen(seq, bare(err))
		return
	}
	about := c.about(seq - 1)
	r, notDecoded := DecodeRecord(m.Body)
	if about >= 0 && notDecoded == nil && r.Seq == seq && r.Prev != c.chain.Hash() {
		c.follow(about, fmt.Sprintf("sequence %d: %s", seq, bare(err))) // it tells that the record before it was replaced
		c.broke(&breach{finding: about, from: seq, to: seq, reason: bare(err)})
		return
	}
	c.broke(&breach{finding: c.findError("log", err), from: seq, to: seq, reason: bare(err)})
}

// foreign counts what has another lineage than the log.
type foreign struct {
	finding           int // the first of them, or the log's own lineage
	deltas, snapshots int // besides the first
}

// strange reports a delta or a snapshot of another lineage, once; later ones are counted.
func (c *checker) strange(f Finding, lineage string) int {
	switch {
	case c.foreign == nil:
		f.What += fmt.Sprintf("its lineage is %s, but the log's is %s", lineage, c.chain.Lineage())
		c.foreign = &foreign{finding: c.find(f)}
	case f.Where == "deltas":
		c.foreign.deltas++
	default:
		c.foreign.snapshots++
	}
	return c.foreign.finding
}

// end adds what was counted to the finding.
func (f *foreign) end(c *checker) {
	if f == nil {
		return
	}
	if f.deltas > 0 {
		c.follow(f.finding, fmt.Sprintf("other deltas of another lineage than the log's: %d", f.deltas))
	}
	if f.snapshots > 0 {
		c.follow(f.finding, fmt.Sprintf("other snapshots of another lineage than the log's: %d", f.snapshots))
	}
}

// otherLineage reports a genesis of a lineage that was not expected. The check goes on in that lineage.
func (c *checker) otherLineage(m Message, err error) bool {
	r, notDecoded := DecodeRecord(m.Body)
	if m.Seq != 1 || c.foreign != nil || notDecoded != nil || r.Genesis == nil || c.chain.lineage == "" || r.Genesis.Lineage == c.chain.lineage {
		return false
	}
	c.foreign = &foreign{finding: c.findError("log", err)}
	c.chain = NewChain(r.Genesis.Lineage)
	return true
}

// torn returns the breach that the check is in; nil if the last record was proven, or none was read.
func (c *checker) torn() *breach {
	if !c.lost || len(c.breaks) == 0 {
		return nil
	}
	return c.breaks[len(c.breaks)-1]
}

// about returns the index of the last finding, if it is damage of what record seq says; else -1.
func (c *checker) about(seq Seq) int {
	i := len(c.report.Findings) - 1
	if i < 0 || seq == 0 || c.report.Findings[i].Seq != seq || c.report.Findings[i].Warning || c.report.Unlisted > 0 {
		return -1
	}
	return i
}

// breachOf returns the breach that contains a record, or nil.
func (c *checker) breachOf(seq Seq) *breach {
	i := slices.IndexFunc(c.breaks, func(b *breach) bool { return b.from <= seq && seq <= b.to })
	if i < 0 {
		return nil
	}
	return c.breaks[i]
}

// lostHistory reports that the log's end was cut off.
func (c *checker) lostHistory(err error) {
	i := c.findError("log", err)
	c.loss = &i
}

// find adds a finding to the report. It returns its index, -1 when it is only counted.
func (c *checker) find(f Finding) int {
	r := &c.report
	r.broken = r.broken || !f.Warning
	if len(r.Findings) >= c.o.MaxFindings {
		r.Unlisted++
		return -1
	}
	r.Findings = append(r.Findings, f)
	return len(r.Findings) - 1
}

// follow adds what only follows from a finding.
func (c *checker) follow(finding int, what ...string) {
	if finding >= 0 {
		f := &c.report.Findings[finding]
		f.Then = append(f.Then, what...)
	}
}

// findError adds a typed error to the report as a finding.
func (c *checker) findError(where string, err error) int {
	f := Finding{Where: where, What: bare(err)}
	var corrupt *CorruptError
	var version *VersionError
	var diverged *DivergedError
	var lost *LostError
	switch {
	case errors.As(err, &lost):
		f.Seq, f.Tick, f.Invariant = lost.Last+1, lost.LastTick+1, "I9"
		if lost.LastTick == 0 {
			f.Tick = 0
		}
	case errors.As(err, &diverged):
		f.Seq, f.Tick, f.Invariant = diverged.Seq, diverged.Tick, "I5"
	case errors.As(err, &version):
		f.Seq, f.Tick = version.Seq, version.Tick
	case errors.As(err, &corrupt):
		f.Seq, f.Tick, f.Invariant = corrupt.Seq, corrupt.Tick, corrupt.Rule
	}
	return c.find(f)
}

// bare returns an error's text without the place, which a finding has in fields of its own.
func bare(err error) string {
	var corrupt *CorruptError
	var version *VersionError
	var diverged *DivergedError
	switch {
	case errors.As(err, &diverged):
		return "re-simulation diverges: " + diverged.differs()
	case errors.As(err, &version):
		return version.versions()
	case errors.As(err, &corrupt):
		return corrupt.Reason
	}
	return strings.TrimPrefix(err.Error(), "persistence: ")
}
