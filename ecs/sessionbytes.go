package ecs

import (
	"cmp"
	"errors"
	"slices"
	"unicode/utf8"
)

// appendChanges appends the sessions that ended and the parts of sessions that changed in this tick.
func (s *sessions) appendChanges(b []byte) []byte {
	if len(s.gone) == 0 && len(s.changed) == 0 {
		return b
	}
	slices.Sort(s.gone)
	slices.SortStableFunc(s.changed, func(x, y *session) int { return cmp.Compare(x.ID, y.ID) })
	b = appendUvarint(b, uint64(len(s.gone)))
	for _, id := range s.gone {
		b = appendUvarint(b, id)
	}
	b = appendUvarint(b, uint64(len(s.changed)))
	for _, x := range s.changed {
		parts := x.changed
		if parts&partNew != 0 {
			parts = partNew | partApplied | partInputSeq | partView | partInputs | partReplies
		}
		b = s.append(b, x, parts, x.fresh)
	}
	return b
}

// appendAll appends every session in full.
func (s *sessions) appendAll(b []byte) []byte {
	b = appendUvarint(b, uint64(len(s.list)))
	for _, x := range s.list {
		b = s.append(b, x, partNew|partApplied|partInputSeq|partView|partInputs|partReplies, len(x.replies))
	}
	return b
}

func (s *sessions) append(b []byte, x *session, parts sessionParts, replies int) []byte {
	b = appendUvarint(b, x.ID)
	b = append(b, byte(parts))
	if parts&partNew != 0 {
		b = appendString(b, x.Identity)
		b = append(b, x.ResumeHash[:]...)
		b = appendUvarint(b, x.Joined)
	}
	if parts&partApplied != 0 {
		b = appendUvarint(b, x.AppliedSeq)
	}
	if parts&partInputSeq != 0 {
		b = appendUvarint(b, x.InputSeq)
	}
	if parts&partView != 0 {
		b = appendUvarint(b, uint64(x.View.id))
		b = appendUvarint(b, uint64(x.View.gen))
	}
	if parts&partInputs != 0 {
		b = s.appendInputs(b, x, parts&partNew != 0)
	}
	if parts&partReplies != 0 {
		b = appendUvarint(b, uint64(replies))
		for i := range replies {
			b = appendReply(b, x.nth(i, replies))
		}
	}
	return b
}

// appendInputs appends ordinal+1 and the value of each sampled command that changed, or of every stored one.
func (s *sessions) appendInputs(b []byte, x *session, all bool) []byte {
	for i := range x.inputs {
		if in := &x.inputs[i]; in.changed || all && in.payload != nil {
			b = appendUvarint(b, uint64(i)+1)
			b = append(b, in.payload...)
		}
	}
	return append(b, 0)
}

// appendReply appends the sequence number, then 0 for an accepted command, or the reason's length + 1 and the reason.
func appendReply(b []byte, r *Reply) []byte {
	b = appendUvarint(b, r.Seq)
	if !r.Rejected {
		return append(b, 0)
	}
	b = appendUvarint(b, uint64(len(r.Reason))+1)
	return append(b, r.Reason...)
}

var (
	errSessionTwice = errors.New("a session begins twice")
	errIdentity     = errors.New("an identity or a reason is too long or not UTF-8")
	errReplies      = errors.New("a session's replies are not in ascending order")
	errParts        = errors.New("a session has unknown parts")
)

// applyChanges is the inverse of appendChanges.
func (s *sessions) applyChanges(r *reader) error {
	if len(r.b) == 0 {
		return r.err
	}
	for range r.count(1) {
		x := s.find(r.uvarint())
		if r.err != nil {
			return r.err
		}
		if x == nil {
			return errNoSession
		}
		s.remove(x)
	}
	for range r.count(2) {
		if err := s.read(r, s.w.sampled); err != nil {
			return err
		}
	}
	s.settle()
	r.end()
	return r.err
}

// read applies one session's entry. Its ordinals index sampled, where nil marks a command that the game no longer has;
// a delta cannot contain one.
func (s *sessions) read(r *reader, sampled []*handler) error {
	id, parts := r.uvarint(), sessionParts(r.byte())
	x := s.find(id)
	switch {
	case r.err != nil:
		return r.err
	case id == 0:
		return errSession0
	case parts&^(partNew|partApplied|partInputSeq|partView|partInputs|partReplies) != 0:
		return errParts
	case parts&partNew != 0 && x != nil:
		return errSessionTwice
	case parts&partNew != 0:
		v := Session{ID: id}
		identity := r.bytes()
		copy(v.ResumeHash[:], r.take(len(v.ResumeHash)))
		v.Joined = r.uvarint()
		if len(identity) > 64 || !utf8.Valid(identity) {
			r.fail(errIdentity)
		}
		if r.err != nil {
			return r.err
		}
		v.Identity = string(identity)
		x = s.add(v)
	case x == nil:
		return errNoSession
	}
	return s.readParts(r, x, parts, sampled)
}

func (s *sessions) readParts(r *reader, x *session, parts sessionParts, sampled []*handler) error {
	if parts&partApplied != 0 {
		x.AppliedSeq = r.uvarint()
	}
	if parts&partInputSeq != 0 {
		x.InputSeq = r.uvarint()
	}
	if parts&partView != 0 {
		x.View = Entity{r.uint32(), r.uint32()}
	}
	if parts&partInputs != 0 {
		s.readInputs(r, x, sampled)
	}
	if parts&partReplies != 0 {
		s.readReplies(r, x)
	}
	s.touch(x, parts)
	return r.err
}

func (s *sessions) readInputs(r *reader, x *session, sampled []*handler) {
	for {
		k := r.below(len(sampled) + 1)
		if k == 0 {
			return
		}
		h := sampled[k-1]
		if p := r.take(h.f.Packed); r.err == nil {
			s.setInput(x, h.ordinal, p)
			x.inputs[h.ordinal].changed = true
		}
	}
}

func (s *sessions) readReplies(r *reader, x *session) {
	for range r.count(2) {
		v := Reply{Session: x.ID, Seq: r.uvarint()}
		if n := r.below(maxReason + 2); n > 0 {
			reason := r.take(n - 1)
			if !utf8.Valid(reason) {
				r.fail(errIdentity)
			}
			v.Rejected, v.Reason = true, string(reason)
		}
		if len(x.replies) > 0 && x.nth(0, 1).Seq >= v.Seq {
			r.fail(errReplies)
		}
		if r.err != nil {
			return
		}
		s.reply(x, v)
	}
}
