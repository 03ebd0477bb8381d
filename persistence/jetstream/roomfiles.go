package jetstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/persistence"
)

// partitionFiles are the files of a partition: the logs of many rooms in one stream. They are read once, block by block,
// and split by subject. Damage is a piece of a block between two intact rows; a row in which one bit was flipped is read
// as if it were repaired, since a start repairs it.
type partitionFiles struct {
	*streamFiles
	only string // read the logs of this shard alone; "": of all

	buf     []byte
	sound   map[int]bool // blocks whose rows are all sound
	deleted []uint64     // sequences of deleted messages, ascending
	last    uint64       // the highest sequence met
	logs    map[Ref]*roomLog
	pieces  []*piece
	right   int // rows in which one bit was flipped
}

// roomLog is what the files prove about one log of a partition.
type roomLog struct {
	prover
	state  StoreState
	broken error             // the first break of its chain
	wide   []persistence.Seq // records after its first one that were deleted
	piece  *piece            // damage that may be to one of its records
}

// piece is a damaged part of a block.
type piece struct {
	blockDamage
	names []Ref // logs whose subjects can be read in it
}

// openPartition reads the files of a partition. It returns a *descriptionError if the stream's description is damaged
// or missing.
func openPartition(ctx context.Context, store, stream, only string) (*partitionFiles, error) {
	files, err := openStreamFiles(store, stream)
	if _, statErr := os.Stat(filepath.Join(store, accountDir, stream)); errors.Is(statErr, fs.ErrNotExist) {
		files, err = &streamFiles{name: stream}, nil // its marks, if there are any, decide whether it should exist
	}
	if err != nil {
		return nil, err
	}
	p := &partitionFiles{streamFiles: files, only: only, sound: map[int]bool{}, logs: map[Ref]*roomLog{}}
	marks, _, err := readMarks(store, stream) // a damaged mark proves nothing
	if err != nil {
		return nil, err
	}
	for _, m := range marks {
		if only == "" || only == m.shard {
			p.log(Ref{Cluster: p.cluster(), Shard: m.shard, Lineage: m.lineage}).mark(m)
		}
	}
	for _, block := range p.blocks { // a row is deleted by a later one
		if err := p.tombstones(ctx, block); err != nil {
			return nil, err
		}
	}
	slices.Sort(p.deleted)
	for _, block := range p.blocks {
		if err := p.read(ctx, block); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *partitionFiles) cluster() string {
	cluster, _, _ := parsePartitionStream(p.name)
	return cluster
}

// log returns the log of a room.
func (p *partitionFiles) log(ref Ref) *roomLog {
	l := p.logs[ref]
	if l == nil {
		l = &roomLog{state: StoreState{Ref: ref, Partition: p.name}}
		l.prover = prover{state: &l.state, chain: persistence.NewChain(ref.Lineage)}
		p.logs[ref] = l
	}
	return l
}

func (l *roomLog) mark(m mark) { l.state.marked, l.marked = m, m.seq }

// load returns the intact rows of a block, and the damage between them.
func (p *partitionFiles) load(ctx context.Context, block int) (rows []byte, m mended, err error) {
	if err := ctx.Err(); err != nil {
		return nil, m, err
	}
	r := blockReader{buf: p.buf}
	if err := r.load(p.path(block)); err != nil {
		return nil, m, err
	}
	if p.buf = r.buf; p.sound[block] {
		return p.buf, m, nil
	}
	h := keyedHash(p.name + "-" + strconv.Itoa(block))
	for at := 0; at < len(p.buf); {
		n, bad := soundRow(p.buf[at:], p.name, h)
		if bad != "" {
			m = mend(p.buf, p.name, h, block == p.blocks[len(p.blocks)-1])
			return m.whole, m, nil
		}
		at += n
	}
	p.sound[block] = true
	return p.buf, m, nil
}

// tombstones collects what the rows of a block delete.
func (p *partitionFiles) tombstones(ctx context.Context, block int) error {
	rows, _, err := p.load(ctx, block)
	for at, n := 0, 0; at < len(rows); at += n {
		n, _ = rowLength(rows[at:], nil)
		if seq := binary.LittleEndian.Uint64(rows[at+4:]); seq&tombstoneBit != 0 {
			p.deleted = append(p.deleted, seq&^tombstoneBit)
		}
	}
	return err
}

// read proves the records of a block.
func (p *partitionFiles) read(ctx context.Context, block int) error {
	rows, m, err := p.load(ctx, block)
	if err != nil {
		return err
	}
	p.right += m.right
	spans := m.spans
	for at, n := 0, 0; at < len(rows); at += n {
		for len(spans) > 0 && spans[0].after <= at {
			p.damaged(block, spans[0])
			spans = spans[1:]
		}
		n, _ = rowLength(rows[at:], nil)
		p.row(rows[at : at+n])
	}
	for _, s := range spans {
		p.damaged(block, s)
	}
	return nil
}

// row passes a record to the chain of its log.
func (p *partitionFiles) row(row []byte) {
	seq := binary.LittleEndian.Uint64(row[4:])
	number := seq &^ (tombstoneBit | erasedBit)
	seen := number <= p.last
	p.last = max(p.last, number)
	if number != seq || seq == 0 || seen {
		return // a tombstone, erased, or a copy that a later row replaced
	}
	m := parseRow(row, seq)
	ref, kind, ok := parseSharedSubject(m.subject)
	if !ok || p.only != "" && ref.Shard != p.only {
		return
	}
	_, gone := slices.BinarySearch(p.deleted, seq)
	l := p.log(ref)
	if kind == "" {
		if !gone {
			l.noted(m)
		}
		return
	}
	header, err := nats.DecodeHeadersMsg(m.header)
	num, numErr := strconv.ParseUint(header.Get(headerSeq), 10, 64)
	if gone {
		if l.state.at > 0 && numErr == nil {
			l.wide = append(l.wide, persistence.Seq(num))
		}
		return
	}
	l.state.at = seq
	l.state.Bytes += int64(len(row))
	if l.broken != nil {
		return
	}
	if err = errors.Join(err, numErr); err != nil {
		l.broken = &persistence.CorruptError{What: "record", Seq: l.state.Last + 1, Tick: l.state.LastTick + 1, Reason: "its headers are unreadable", Err: err}
		return
	}
	msg, err := message(&stored{spot: spot{num: num}, header: header, body: m.body})
	if err == nil {
		err = l.prove(msg)
	}
	l.broken = err
}

// noted reads a note about the log.
func (l *roomLog) noted(m storedMsg) {
	header, err := nats.DecodeHeadersMsg(m.header)
	if err != nil {
		return
	}
	l.state.purgedBelow = max(l.state.purgedBelow, parsePurge(header.Get(purgedBelow)))
	l.state.history.Accepted = parseAccepted(header.Get(acceptedLosses))
}

// damaged notes damage in a block, before the row that is read next.
func (p *partitionFiles) damaged(block int, s span) {
	p.pieces = append(p.pieces, &piece{
		blockDamage: blockDamage{file: p.path(block), offset: s.at, after: p.last, tail: s.tail, reason: s.reason},
		names:       s.names(subjectsOf(p.name)),
	})
}

// names returns the shards whose subjects can be read in a damaged piece of a partition.
func (s *span) names(prefix string) (names []Ref) {
	const most = 200 // bytes of a subject
	for b := s.bytes; ; b = b[1:] {
		at := bytes.Index(b, []byte(prefix))
		if at < 0 {
			return names
		}
		b = b[at:]
		for end := min(len(b), most); end > len(prefix); end-- { // whatever follows the subject
			if ref, kind, ok := parseSharedSubject(string(b[:end])); ok && slices.Contains([]string{"log", sealSuffix, "delta"}, kind) {
				if !slices.Contains(names, ref) {
					names = append(names, ref)
				}
				break
			}
		}
	}
}
