package persistence

import "fmt"

// Chain proves a log, record by record: a step function from the message that
// comes next to its record, or to the error that says what is wrong with it.
// After an error its state is what it was: nothing behind a broken record is
// proven.
//
// A Chain is not safe for concurrent use.
type Chain struct {
	lineage  string // "" until it is known and when anything is accepted
	seq      Seq    // of the last proven record
	hash     Hash   // of its body
	epoch    Epoch  // in force
	tick     uint64 // the last one
	checksum uint64 // after tick; 0 when unknown
	started  bool   // an epoch record has been seen
}

// NewChain returns a chain that expects record 1. lineage is the one that the
// log must have, "" to take the one that genesis names.
func NewChain(lineage string) *Chain { return &Chain{lineage: lineage} }

// ChainFrom returns a chain that expects the record after the snapshot.
func ChainFrom(s *Snapshot) *Chain {
	return &Chain{lineage: s.Lineage, seq: s.Seq, hash: s.Chain, epoch: s.Epoch, tick: s.Tick, checksum: s.Checksum, started: true}
}

// Seq returns the sequence of the last proven record, 0 before genesis.
func (c *Chain) Seq() Seq { return c.seq }

// Hash returns the hash of the last proven record.
func (c *Chain) Hash() Hash { return c.hash }

// Epoch returns the epoch in force.
func (c *Chain) Epoch() Epoch { return c.epoch }

// Tick returns the last proven tick, 0 before the first.
func (c *Chain) Tick() uint64 { return c.tick }

// Checksum returns the checksum after Tick as it was recorded, 0 before the first tick.
func (c *Chain) Checksum() uint64 { return c.checksum }

// Lineage returns the lineage of the log, "" while it is unknown.
func (c *Chain) Lineage() string { return c.lineage }

// Next proves the message that comes next and returns its record, which shares
// memory with m.Body. The error is a *CorruptError or a *VersionError and names
// the sequence and the first tick that is not proven.
func (c *Chain) Next(m Message) (*Record, error) {
	if want := c.seq + 1; m.Seq != want {
		if m.Seq > want {
			return nil, c.broken("I4", want, "it is missing, sequence %d comes next", m.Seq)
		}
		return nil, c.broken("I4", m.Seq, "it comes again after record %d", c.seq)
	}
	r, err := DecodeRecord(m.Body)
	if err != nil {
		return nil, at(err, m.Seq, c.tick+1)
	}
	if r.Seq != m.Seq {
		return nil, c.misplaced(m.Seq, r)
	}
	if err := c.Admit(r); err != nil {
		return nil, err
	}
	if m.Header != r.Header() {
		return nil, c.broken("I4", m.Seq, "its headers %v are not those of its body %v", m.Header, r.Header())
	}
	c.Advance(r, HashOf(m.Body))
	return r, nil
}

// Admit says whether r may come next; it changes nothing. See FORMAT.md, "The chain".
func (c *Chain) Admit(r *Record) error {
	if r.Seq != c.seq+1 {
		return c.broken("I4", c.seq+1, "record %d was offered in its place", r.Seq)
	}
	if (r.Kind == KindGenesis) != (r.Seq == 1) {
		return c.broken("I4", r.Seq, "a record of kind %s; record 1 and no other is genesis", r.Kind)
	}
	if r.Prev != c.hash {
		return c.broken("I4", r.Seq, "it follows a record with the hash %v, record %d has %v: one of them was replaced or is of another lineage", r.Prev, c.seq, c.hash)
	}
	switch r.Kind {
	case KindGenesis:
		if c.lineage != "" && r.Genesis.Lineage != c.lineage {
			return c.broken("I4", r.Seq, "it is of lineage %s, not %s: the log was deleted and made anew, or is another shard's", r.Genesis.Lineage, c.lineage)
		}
	case KindEpoch:
		return c.admitEpoch(r)
	case KindTicks:
		if r.Epoch != c.epoch {
			return c.broken("I3", r.Seq, "it is of epoch %d, epoch %d is in force", r.Epoch, c.epoch)
		}
		if first := r.FirstTick(); first != c.tick+1 {
			return c.broken(tickRule(first, c.tick), r.Seq, "it holds tick %d where tick %d is due", first, c.tick+1)
		}
	}
	return nil
}

func (c *Chain) admitEpoch(r *Record) error {
	if r.Epoch < c.epoch || (r.Epoch == c.epoch && c.started) {
		return c.broken("I3", r.Seq, "it starts epoch %d, epoch %d was in force", r.Epoch, c.epoch)
	}
	if r.EpochStart.From != c.tick {
		return c.broken("I4", r.Seq, "it starts after tick %d, the log is at tick %d", r.EpochStart.From, c.tick)
	}
	return nil
}

// Advance takes r, admitted and committed, whose body has the hash.
func (c *Chain) Advance(r *Record, hash Hash) {
	c.seq, c.hash, c.epoch = r.Seq, hash, r.Epoch
	switch r.Kind {
	case KindGenesis:
		c.lineage = r.Genesis.Lineage
	case KindEpoch:
		c.started = true
	case KindTicks:
		c.tick, c.checksum = r.LastTick(), r.Checksum()
	}
}

// Seal makes r the record that comes next (sequence and previous hash), and
// returns the message to append, its body appended to dst. The chain does not
// advance: that is for when the log has acknowledged it.
func (c *Chain) Seal(r *Record, dst []byte) (Message, error) {
	r.Seq, r.Prev = c.seq+1, c.hash
	if err := c.Admit(r); err != nil {
		return Message{}, err
	}
	body, err := r.Encode(dst)
	if err != nil {
		return Message{}, err
	}
	return r.Message(body[len(dst):]), nil
}

// Anchor takes m as proven, whatever came before: where a purged log begins,
// and behind a broken place, to find out what else is broken.
func (c *Chain) Anchor(m Message) (*Record, error) {
	r, err := DecodeRecord(m.Body)
	if err != nil {
		return nil, at(err, m.Seq, c.tick+1)
	}
	if r.Seq != m.Seq {
		return nil, c.misplaced(m.Seq, r)
	}
	started := c.started || m.Seq > 1
	c.Advance(r, HashOf(m.Body))
	c.started = started || r.Kind == KindEpoch
	if r.Kind == KindEpoch {
		c.tick, c.checksum = r.EpochStart.From, 0
	}
	return r, nil
}

// tickRule tells a tick that has a second value from one that is missing.
func tickRule(first, last uint64) string {
	if first <= last {
		return "I2"
	}
	return "I4"
}

func (c *Chain) misplaced(seq Seq, r *Record) error {
	return c.broken("I4", seq, "in its place stands record %d (tick %d)", r.Seq, r.FirstTick())
}

func (c *Chain) broken(rule string, seq Seq, format string, args ...any) error {
	return &CorruptError{What: "record", Seq: seq, Tick: c.tick + 1, Rule: rule, Reason: fmt.Sprintf(format, args...)}
}
