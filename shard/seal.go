package shard

import (
	"bytes"
	"fmt"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// This file is the end of a room. Its game ends it in a tick, or the host does between two records (EventEnd). Once the last
// tick is committed, the owner appends the seal, the last record that the log will ever have. An owner that finds an ended log without
// its seal writes it; one that finds the seal stops before it claims.

// ended returns the seal of a room whose game ended it in the last tick of a record, or nil.
func ended(r *persistence.Record) *persistence.Seal {
	result, ok := r.Result()
	if !ok {
		return nil
	}
	return &persistence.Seal{Reason: persistence.EndResult, Result: &ecs.Message{To: result.To, Name: result.Name, N: result.N, Payload: bytes.Clone(result.Payload)}}
}

// end ends the room as soon as nothing is outstanding. The game's own end, if the outstanding record holds it, comes first.
func (o *Owner) end(s *persistence.Seal) {
	if o.phase != PhaseOwn || o.ending != nil {
		return
	}
	switch o.ending = s; {
	case !o.out.active:
		o.seal()
	case o.mayGiveUp():
		o.giveUp()
	}
}

// mayGiveUp reports whether the outstanding record may be given up for a seal: it is refused again and again, as by a full log, no
// attempt of it is under way or may have been stored, and it does not hold the game's own end.
func (o *Owner) mayGiveUp() bool {
	return o.out.record.Kind == persistence.KindTicks && !o.waiting && o.out.full && !o.out.unsure && ended(&o.out.record) == nil
}

// giveUp ends the room without the ticks of the outstanding record. Nothing of them was released. Otherwise nobody could close a room
// whose log is full. If the log stores a copy of the record after all, it refuses the seal, as behind another owner's record.
func (o *Owner) giveUp() {
	o.out.active, o.retryAt = false, 0
	o.seal()
}

// seal sends the log's last record.
func (o *Owner) seal() {
	s := *o.ending
	s.Node, s.Tick = o.cfg.Node, o.chain.Tick()
	o.send(persistence.Record{Kind: persistence.KindSeal, Epoch: o.epoch, Seal: &s})
}

// sealed notes, once the seal is in the log, that the log reaches it: a disk that loses it is found out.
func (o *Owner) sealed() {
	o.ask(Action{Kind: ActionNote, Note: Note{High: persistence.Mark{Seq: o.chain.Seq(), Epoch: o.epoch}}})
}

// over stops this owner: the log is sealed.
func (o *Owner) over(s *persistence.Seal) {
	why := map[persistence.EndReason]string{
		persistence.EndResult: "its game ended it", persistence.EndIdle: "nobody was there",
		persistence.EndLimit: "its time was over", persistence.EndClosed: "it was closed",
	}[s.Reason]
	o.stop(fmt.Errorf("%w after tick %d: %s", ErrEnded, s.Tick, why))
}
