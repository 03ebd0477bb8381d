package persistence

import "fmt"

// Chain proves a log record by record. It is a step function: the next message
// in, its record or an error out. An error leaves its state unchanged, so that
// nothing after a broken record counts as proven.
//
// A Chain is not safe for concurrent use.
type Chain struct {
	lineage  string // "" until genesis is read, if any lineage is accepted
	seq      Seq    // of the last proven record
	hash     Hash   // of its body
	epoch    Epoch  // the current one
	tick     uint64 // the last proven one
	checksum uint64 // after tick; 0 when unknown
	started  bool   // the log so far contains an epoch record
	ended    bool   // the last proven tick ended the room
	sealed   bool   // by the last proven record
}

// NewChain returns a chain that expects record 1. The log must have the lineage;
// "" accepts any.
func NewChain(lineage string) *Chain { return &Chain{lineage: lineage} }

// ChainFrom returns a chain that expects the record after the snapshot.
func ChainFrom(s *Snapshot) *Chain {
	return &Chain{lineage: s.Lineage, seq: s.Seq, hash: s.Chain, epoch: s.Epoch, tick: s.Tick, checksum: s.Checksum, started: true}
}

// Seq returns the sequence of the last proven record, 0 before genesis.
func (c *Chain) Seq() Seq { return c.seq }

// Hash returns the hash of the last proven record.
func (c *Chain) Hash() Hash { return c.hash }

// Epoch returns the current epoch.
func (c *Chain) Epoch() Epoch { return c.epoch }

// Tick returns the last proven tick, 0 before the first.
func (c *Chain) Tick() uint64 { return c.tick }

// Checksum returns the recorded checksum after Tick, 0 before the first tick.
func (c *Chain) Checksum() uint64 { return c.checksum }

// Lineage returns the lineage of the log, "" while unknown.
func (c *Chain) Lineage() string { return c.lineage }

// Sealed reports whether the last proven record seals the log.
func (c *Chain) Sealed() bool { return c.sealed }

// Next proves the next message and returns its record, which shares memory with
// m.Body. The error is a *CorruptError or a *VersionError with the sequence and
// the first unproven tick.
func (c *Chain) Next(m Message) (*Record, error) {
	if want := c.seq + 1; m.Seq != want {
		if m.Seq > want {
			return nil, c.broken("I4", want, "it is missing: sequence %d comes next", m.Seq)
		}
		return nil, c.broken("I4", m.Seq, "it is out of order: record %d came before it", c.seq)
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
		return nil, c.broken("I4", m.Seq, "its headers %v do not match its body %v", m.Header, r.Header())
	}
	c.Advance(r, HashOf(m.Body))
	return r, nil
}

// Admit returns an error if r may not come next. It changes nothing. See FORMAT.md, "The chain".
func (c *Chain) Admit(r *Record) error {
	if r.Seq != c.seq+1 {
		return c.broken("I4", c.seq+1, "record %d was offered in its place", r.Seq)
	}
	if (r.Kind == KindGenesis) != (r.Seq == 1) {
		return c.broken("I4", r.Seq, "its kind is %s, but record 1, and only record 1, must be genesis", r.Kind)
	}
	if r.Prev != c.hash {
		return c.broken("I4", r.Seq, "it follows a record with hash %v, but record %d has hash %v: one of them was replaced or belongs to another lineage", r.Prev, c.seq, c.hash)
	}
	if c.sealed {
		return c.broken("I11", r.Seq, "record %d has sealed the log: nothing may follow it", c.seq)
	}
	switch r.Kind {
	case KindGenesis:
		if c.lineage != "" && r.Genesis.Lineage != c.lineage {
			return c.broken("I4", r.Seq, "its lineage is %s, not %s: the log was deleted and created again, or belongs to another shard", r.Genesis.Lineage, c.lineage)
		}
	case KindEpoch:
		return c.admitEpoch(r)
	case KindSeal:
		if err := c.current(r); err != nil {
			return err
		}
		if r.Seal.Tick != c.tick {
			return c.broken("I4", r.Seq, "it seals the log after tick %d, but the log is at tick %d", r.Seal.Tick, c.tick)
		}
	case KindTicks:
		if err := c.current(r); err != nil {
			return err
		}
		if c.ended {
			return c.broken("I11", r.Seq, "tick %d has ended the room: only a seal may follow it", c.tick)
		}
		if first := r.FirstTick(); first != c.tick+1 {
			return c.broken(tickRule(first, c.tick), r.Seq, "it holds tick %d where tick %d was expected", first, c.tick+1)
		}
	}
	return nil
}

// current returns an error unless r has the current epoch.
func (c *Chain) current(r *Record) error {
	if r.Epoch != c.epoch {
		return c.broken("I3", r.Seq, "its epoch is %d, but the current epoch is %d", r.Epoch, c.epoch)
	}
	return nil
}

func (c *Chain) admitEpoch(r *Record) error {
	if r.Epoch < c.epoch || (r.Epoch == c.epoch && c.started) {
		return c.broken("I3", r.Seq, "it starts epoch %d, but the current epoch is %d", r.Epoch, c.epoch)
	}
	if r.EpochStart.From != c.tick {
		return c.broken("I4", r.Seq, "it starts after tick %d, but the log is at tick %d", r.EpochStart.From, c.tick)
	}
	return nil
}

// Advance moves the chain to r, which was admitted and committed. hash is the hash of its body.
func (c *Chain) Advance(r *Record, hash Hash) {
	c.seq, c.hash, c.epoch, c.sealed = r.Seq, hash, r.Epoch, r.Kind == KindSeal
	switch r.Kind {
	case KindGenesis:
		c.lineage = r.Genesis.Lineage
	case KindEpoch:
		c.started = true
	case KindTicks:
		c.tick, c.checksum = r.LastTick(), r.Checksum()
		_, c.ended = r.Result()
	}
}

// Link makes r the next record (it sets sequence and previous hash) and returns
// the message to append; its body is appended to dst. Link does not advance the
// chain: call Advance once the log has acknowledged the message.
func (c *Chain) Link(r *Record, dst []byte) (Message, error) {
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

// Anchor accepts m as proven whatever came before it: at the beginning of a purged
// log, and after a broken place, to find out what else is broken.
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
	switch r.Kind {
	case KindEpoch:
		c.tick, c.checksum = r.EpochStart.From, 0
	case KindSeal: // of a room that was removed
		c.tick, c.checksum = r.Seal.Tick, 0
	}
	return r, nil
}

// tickRule returns the broken rule: a tick has a second value (I2), or one is missing (I4).
func tickRule(first, last uint64) string {
	if first <= last {
		return "I2"
	}
	return "I4"
}

func (c *Chain) misplaced(seq Seq, r *Record) error {
	return c.broken("I4", seq, "record %d (tick %d) is stored in its place", r.Seq, r.FirstTick())
}

func (c *Chain) broken(rule string, seq Seq, format string, args ...any) error {
	return &CorruptError{What: "record", Seq: seq, Tick: c.tick + 1, Rule: rule, Reason: fmt.Sprintf(format, args...)}
}
