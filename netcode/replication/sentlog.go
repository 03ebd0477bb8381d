package replication

// sentPackets is how many packets back an acknowledgement can reach.
const sentPackets = 128

// sentLog records what a client's last packets carried. The blocks of all packets share one ring, which grows to what sentPackets
// packets need together.
type sentLog struct {
	packets [sentPackets]sentPacket // by seq modulo sentPackets
	blocks  []sentBlock             // by position modulo its length, which is a power of two
	next    uint64                  // position of the next block
}

// sentPacket is one packet.
type sentPacket struct {
	seq   uint64 // 0: none
	tick  uint64
	first uint64 // position of its first block
	count uint32
	acked bool
}

// sentBlock is a block of a packet, or a piece of one.
type sentBlock struct {
	version uint64
	serial  uint32
	sub     uint16
	segment uint16
}

// leastBlocks is the length of a ring at first.
const leastBlocks = 16

// reset forgets all packets.
func (l *sentLog) reset() {
	for i := range l.packets {
		l.packets[i].seq = 0
	}
}

// open begins the packet with number seq, one more than the last one's, and returns it. It forgets the packet sentPackets before.
func (l *sentLog) open(seq, tick uint64) *sentPacket {
	p := &l.packets[seq%sentPackets]
	*p = sentPacket{seq: seq, tick: tick, first: l.next}
	return p
}

// add appends a block to the packet that was opened last.
func (l *sentLog) add(p *sentPacket, b sentBlock) {
	if l.next-l.oldest(p) == uint64(len(l.blocks)) {
		l.grow(p)
	}
	l.blocks[l.next&uint64(len(l.blocks)-1)] = b
	l.next++
	p.count++
}

// oldest returns the position of the first block that the log needs, when p is the newest packet.
func (l *sentLog) oldest(p *sentPacket) uint64 {
	if o := &l.packets[(p.seq+1)%sentPackets]; o.seq != 0 {
		return o.first
	}
	return l.packets[1].first // fewer packets than sentPackets: the stream's first has number 1
}

// grow doubles the ring.
func (l *sentLog) grow(p *sentPacket) {
	bigger := make([]sentBlock, max(leastBlocks, 2*len(l.blocks)))
	for at := l.oldest(p); at < l.next; at++ {
		bigger[at&uint64(len(bigger)-1)] = l.blocks[at&uint64(len(l.blocks)-1)]
	}
	l.blocks = bigger
}

// packet returns the packet with number seq, or nil if it is forgotten.
func (l *sentLog) packet(seq uint64) *sentPacket {
	if p := &l.packets[seq%sentPackets]; seq != 0 && p.seq == seq {
		return p
	}
	return nil
}

// each calls f with the blocks of a packet.
func (l *sentLog) each(p *sentPacket, f func(sentBlock)) {
	for at := p.first; at < p.first+uint64(p.count); at++ {
		f(l.blocks[at&uint64(len(l.blocks)-1)])
	}
}
