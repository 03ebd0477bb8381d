package replication

import "encoding/binary"

// outgoing packs a client's blocks into packets, within the budget.
type outgoing struct {
	e    *Encoder
	c    *client
	send func([]byte)

	h     header
	buf   []byte
	entry *sentPacket
	used  int // bytes of the packets so far, including the open one
	limit int
	full  bool // the open packet takes no more blocks
}

func (o *outgoing) begin() {
	o.h = header{codec: CodecBits, epoch: o.e.epoch, stream: o.c.stream, tick: o.e.plane.tick, area: o.c.area}
	o.limit = o.e.cfg.BudgetBytes - o.c.debt
	o.open()
}

// open starts a packet.
func (o *outgoing) open() {
	o.c.seq++
	o.h.seq = o.c.seq
	o.buf = o.h.append(o.e.packet[:0])
	o.entry = o.c.sent.open(o.h.seq, o.h.tick)
	o.used += len(o.buf)
}

// flush sends the packet.
func (o *outgoing) flush() {
	o.e.stats.Packets++
	o.e.stats.Bytes += uint64(len(o.buf))
	o.send(o.buf)
	o.e.packet = o.buf[:0]
}

// end sends the last packet and settles the budget.
func (o *outgoing) end() {
	o.flush()
	o.c.debt = max(o.c.debt+o.used-o.e.cfg.BudgetBytes, 0)
}

// all sends the blocks that fit into the budget: all of them if they fit, else by age. A block larger
// than the whole budget is sent when it comes first and the client has no debt.
func (o *outgoing) all(wants []want) {
	total := 0
	for i := range wants {
		total += len(wants[i].body) + maxBlockHead + maxHeader
	}
	if o.used+total <= o.limit {
		for i := range wants {
			k := o.head(&wants[i])
			o.add(&k, &wants[i])
		}
		return
	}
	sortWants(wants)
	for i := range wants {
		w := &wants[i]
		k := o.head(w)
		cost := o.cost(&k, w)
		alone := i == 0 && o.c.debt == 0 && cost > o.e.cfg.BudgetBytes-maxHeader
		if o.used+cost > o.limit && !alone {
			o.e.stats.Deferred++
			continue
		}
		o.add(&k, w)
	}
}

// room returns the longest piece of a block that fits into a packet beside its headers.
func (o *outgoing) room() int { return o.e.cfg.PacketBytes - maxHeader - maxBlockHead }

// head returns the head of a block. A block too large for a packet is cut into pieces, each in its own packet.
func (o *outgoing) head(w *want) blockHead {
	s := &o.c.subs[w.sub]
	k := blockHead{segKey: segKey{s.cell.key, s.depth, w.segment}, version: s.cell.segs[w.segment].version, base: w.base}
	if len(w.body) > o.room() {
		k.pieces = (len(w.body) + o.room() - 1) / o.room()
	}
	return k
}

// cost returns an upper bound on what a block adds to the client's bytes.
func (o *outgoing) cost(k *blockHead, w *want) int {
	if k.pieces > 0 {
		return len(w.body) + k.pieces*(maxBlockHead+maxHeader)
	}
	o.e.scratch = binary.AppendUvarint(k.append(o.e.scratch[:0], &o.h), uint64(len(w.body)))
	n := len(o.e.scratch) + len(w.body)
	if len(o.buf)+n > o.e.cfg.PacketBytes {
		n += maxHeader
	}
	return n
}

// add packs a block.
func (o *outgoing) add(k *blockHead, w *want) {
	if k.pieces == 0 {
		o.put(k, w, w.body)
	} else {
		room := o.room()
		o.full = o.entry.count > 0
		for k.piece = range k.pieces {
			o.put(k, w, w.body[k.piece*room:min((k.piece+1)*room, len(w.body))])
			o.full = true // a packet with a piece carries nothing else, so its acknowledgement means that piece's block
		}
	}
	st := &o.c.subs[w.sub].segs[w.segment]
	st.sent, st.sentTick, st.due = k.version, o.h.tick, 0
	o.e.stats.Blocks++
}

// put appends one block, or one piece, opening a new packet if this one is full.
func (o *outgoing) put(k *blockHead, w *want, body []byte) {
	before := len(o.buf)
	o.buf = appendBytes(k.append(o.buf, &o.h), body)
	if o.full || len(o.buf) > o.e.cfg.PacketBytes {
		o.buf, o.full = o.buf[:before], false
		o.flush()
		o.open()
		before = len(o.buf)
		o.buf = appendBytes(k.append(o.buf, &o.h), body)
	}
	o.used += len(o.buf) - before
	o.c.sent.add(o.entry, sentBlock{k.version, o.c.subs[w.sub].serial, w.sub, w.segment})
}
