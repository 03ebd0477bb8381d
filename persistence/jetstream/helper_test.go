package jetstream

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/persistence"
)

const testLineage = "0197e1a0-0000-7000-8000-000000000001"

// lineReader returns the lines of a child process.
type lineReader struct{ lines chan string }

func newLineReader(r io.Reader) *lineReader {
	l := &lineReader{make(chan string, 1024)}
	go func() {
		defer close(l.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			l.lines <- s.Text()
		}
	}()
	return l
}

func (l *lineReader) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-l.lines:
		return line
	case <-time.After(30 * time.Second):
		t.Fatal("the child says nothing")
		return ""
	}
}

func createShard(t testing.TB, c *Conn) *Shard {
	t.Helper()
	return createShardWith(t, c, Options{})
}

func createShardWith(t testing.TB, c *Conn, o Options) *Shard {
	t.Helper()
	s, err := Create(testContext(t), c, "dev", "main", testLineage, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// onLayouts runs a test on a shard with streams of its own, and on one that shares partitions with a neighbour who
// writes a message after each of the shard's.
func onLayouts(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("own", func(t *testing.T) { test(t, Options{}) })
	t.Run("shared", func(t *testing.T) { test(t, Options{Shared: true}) })
}

// neighbours returns names of shards in the same partition as another.
func neighbours(of string, n int) (names []string) {
	for i := 0; len(names) < n; i++ {
		if name := fmt.Sprintf("n%d", i); name != of && partitionOf(name) == partitionOf(of) {
			names = append(names, name)
		}
	}
	return names
}

// noise stores messages of a neighbour between those of a lane.
func noise(t testing.TB, c *Conn, l *lane) {
	t.Helper()
	if !l.shared() {
		return
	}
	subject := strings.Replace(l.subject, "."+l.shard+".", "."+neighbours(l.shard, 1)[0]+".", 1)
	for _, lineage := range []string{testLineage, strings.Replace(testLineage, "1", "2", 1)} {
		m := &nats.Msg{Subject: strings.Replace(subject, testLineage, lineage, 1), Data: []byte("noise"), Header: nats.Header{headerSeq: {"1"}, headerBytes: {"100"}}}
		if _, err := c.js.PublishMsg(testContext(t), m); err != nil {
			t.Fatal(err)
		}
	}
}

func lastOf(t testing.TB, s *Shard) persistence.Seq {
	t.Helper()
	last, err := s.log.Last(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// writer produces the records of a log: a genesis, an epoch, then ticks.
type writer struct {
	ref   Ref
	chain *persistence.Chain
	size  int // bytes of a tick's frame
	rnd   *rand.Rand
}

func newWriter() *writer { return newWriterOf(Ref{"dev", "main", testLineage}) }

func newWriterOf(ref Ref) *writer {
	return &writer{ref: ref, chain: persistence.NewChain(ref.Lineage), size: 200, rnd: rand.New(rand.NewPCG(1, 2))}
}

// resume returns a writer that continues after the stored records.
func resume(t testing.TB, s *Shard) *writer {
	t.Helper()
	w := newWriterOf(s.ref)
	ctx := testContext(t)
	last := lastOf(t, s)
	first, err := s.log.First(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 {
		return w
	}
	for m, err := range s.log.Read(ctx, first, last) {
		if err == nil && w.chain.Seq() == 0 && m.Seq > 1 {
			_, err = w.chain.Anchor(m)
		} else if err == nil {
			_, err = w.chain.Next(m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// next returns the next message.
func (w *writer) next() (persistence.Message, *persistence.Record, error) {
	r := &persistence.Record{}
	switch w.chain.Seq() {
	case 0:
		r.Kind, r.Epoch = persistence.KindGenesis, 1
		r.Genesis = &persistence.Genesis{Lineage: w.ref.Lineage, Cluster: w.ref.Cluster, Shard: w.ref.Shard, Game: "drift", Options: []byte("{}"), Seed: 7, TickRate: 30, Schema: []byte("{}")}
	case 1:
		r.Kind, r.Epoch = persistence.KindEpoch, 1
		r.EpochStart = &persistence.EpochStart{Node: "n1"}
	default:
		frame := make([]byte, w.size)
		for i := range frame {
			frame[i] = byte(w.rnd.Uint32())
		}
		tick := w.chain.Tick() + 1
		r.Kind, r.Epoch = persistence.KindTicks, w.chain.Epoch()
		r.Ticks = []persistence.TickRecord{{Tick: tick, Frame: frame, Checksum: checksumOf(tick)}}
	}
	m, err := w.chain.Link(r, nil)
	return m, r, err
}

func checksumOf(tick uint64) uint64 { return tick * 0x9e3779b97f4a7c15 }

// commit appends the next record.
func (w *writer) commit(t testing.TB, s *Shard) persistence.Message {
	t.Helper()
	m, r, err := w.next()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.log.Append(testContext(t), m, w.chain.Seq()); err != nil {
		t.Fatal(err)
	}
	w.chain.Advance(r, persistence.HashOf(m.Body))
	noise(t, s.log.conn, &s.log.lane)
	return m
}

// appendTicks appends genesis and epoch if they are missing, and n ticks.
func appendTicks(t testing.TB, s *Shard, n int) *writer {
	t.Helper()
	w := resume(t, s)
	for w.chain.Seq() < 2 {
		w.commit(t, s)
	}
	for range n {
		w.commit(t, s)
	}
	return w
}

// snapshotOf returns the snapshot at the writer's last record.
func snapshotOf(w *writer) persistence.Snapshot {
	return persistence.Snapshot{
		Lineage: w.ref.Lineage, Cluster: w.ref.Cluster, Shard: w.ref.Shard, Seq: w.chain.Seq(), Epoch: w.chain.Epoch(),
		Tick: w.chain.Tick(), Checksum: w.chain.Checksum(), Chain: w.chain.Hash(), Schema: []byte("{}"), Body: make([]byte, 300_000),
	}
}

func putSnapshot(t testing.TB, s *Shard) persistence.Snapshot {
	t.Helper()
	snap := snapshotOf(resume(t, s))
	if err := s.snapshots.Put(testContext(t), snap, nil); err != nil {
		t.Fatal(err)
	}
	return snap
}

// deltaOf returns the delta of a tick, committed by record tick+2.
func deltaOf(tick uint64, size int) persistence.Delta {
	body := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(tick), byte(tick >> 8)}).Read(body) // incompressible
	return persistence.Delta{Lineage: testLineage, Epoch: 1, RecordSeq: persistence.Seq(tick + 2), Tick: tick, Checksum: checksumOf(tick), Body: body}
}
