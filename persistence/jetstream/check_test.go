package jetstream

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

var seedFlag = flag.Uint64("seed", 0, "seed of random damage; 0 takes one from the clock")

// storeRecords is how many records the stores of these tests contain. The limits split them into several blocks of
// 32,000 bytes.
const storeRecords = 120

func init() {
	children["write"] = writeStore
}

// writeStore fills a store and then waits to be killed, or stops cleanly on request.
func writeStore(dir string) {
	t := &childT{}
	ctx := context.Background()
	s, err := StartServer(ServerConfig{Dir: dir, Port: -1, Logger: quiet()})
	t.must(err)
	c, err := s.Connect(ctx)
	t.must(err)
	shard, err := Create(ctx, c, "dev", "main", testLineage, Options{LogBytes: 120 << 10, DeltaBytes: 1 << 20, SnapshotBytes: 16 << 20})
	t.must(err)
	for _, bucket := range []string{"store-role", "scripts"} {
		kv, err := OpenKV(ctx, c, "dev", bucket, KVOptions{})
		t.must(err)
		for i := range 20 {
			_, _, err := kv.Put(ctx, strconv.Itoa(i), []byte("what a service stored"), 0)
			t.must(err)
		}
	}
	w := newWriter()
	for w.chain.Seq() < storeRecords {
		m, r, err := w.next()
		t.must(err)
		t.must(shard.log.Append(ctx, m, w.chain.Seq()))
		w.chain.Advance(r, persistence.HashOf(m.Body))
		if tick := w.chain.Tick(); tick > 0 && tick%2 == 0 && tick <= storeRecords-20 { // the delta stream lags behind
			t.must(shard.deltas.Publish(ctx, []persistence.Delta{deltaOf(tick-1, 50), deltaOf(tick, 50)}))
		}
		if w.chain.Seq() == 70 {
			t.must(shard.snapshots.Put(ctx, snapshotOf(w), nil))
		}
		if os.Getenv("WIND_TEST_PURGE") != "" && w.chain.Seq() == 100 {
			t.must(shard.snapshots.Put(ctx, snapshotOf(w), nil))
			t.must(shard.log.Purge(ctx, 70))
		}
	}
	fmt.Println("ready")
	if os.Getenv("WIND_TEST_CLEAN") == "" {
		select {}
	}
	shard.Close()
	c.Close()
	s.Close()
	fmt.Println("stopped")
}

type childT struct{}

func (childT) must(err error) {
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
}

// ends are the two ways in which a store's process ends.
var ends = []string{"stopped", "killed"}

// newStore runs a child that writes a store and ends. The tests damage copies of it.
func newStore(t *testing.T, end string) string {
	t.Helper()
	return newStoreOf(t, end, "write")
}

func newStoreOf(t *testing.T, end, writer string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if end == "stopped" {
		t.Setenv("WIND_TEST_CLEAN", "1")
	}
	child, out := startChild(t, writer, dir)
	if line := out.next(t); line != "ready" {
		t.Fatal(line)
	}
	if end == "stopped" {
		if line := out.next(t); line != "stopped" {
			t.Fatal(line)
		}
	} else if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	return dir
}

// duplicate copies a whole directory.
func duplicate(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// fingerprint returns a hash of every name and byte below dir.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path)
		if d.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// row is the place of a record.
type row struct {
	file    string
	at, end int
	seq     uint64
}

// rowsOf lists the rows of a stream without tombstones.
func rowsOf(t *testing.T, store, stream string) []row {
	t.Helper()
	f, err := openStreamFiles(store, stream)
	if err != nil {
		t.Fatal(err)
	}
	var all []row
	for _, block := range f.blocks {
		b, err := os.ReadFile(f.path(block))
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(b); {
			n, reason := rowLength(b[at:], keyedHash(stream+"-"+strconv.Itoa(block)))
			if reason != "" {
				t.Fatalf("our reading of nats-server's files is wrong: %s at %d of block %d", reason, at, block)
			}
			if seq := binary.LittleEndian.Uint64(b[at+4:]); seq&(tombstoneBit|erasedBit) == 0 {
				all = append(all, row{f.path(block), at, at + n, seq})
			}
			at += n
		}
	}
	return all
}

// edit rewrites a file.
func edit(t *testing.T, file string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, file string, at int, mask byte) {
	edit(t, file, func(b []byte) []byte { b[at] ^= mask; return b })
}

// mustFindLoss asserts that the check before a start refuses the store and names the record, that reading a copy fails
// at the same record, and that neither changed the store.
func mustFindLoss(t *testing.T, dir string, seq persistence.Seq) {
	t.Helper()
	before := fingerprint(t, dir)
	_, err := CheckStore(testContext(t), dir)
	var lost *DamagedLogError
	if !errors.As(err, &lost) || !errors.Is(err, persistence.ErrLost) || lost.Seq != seq || lost.Tick != tickOf(seq) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("record %d (tick %d) is damaged, the check says: %v", seq, tickOf(seq), err)
	}
	if !strings.Contains(err.Error(), "history lost") || !strings.Contains(err.Error(), dir) {
		t.Fatalf("an unclear error: %v", err)
	}
	at, err := readCopy(t, dir)
	if !errors.Is(err, persistence.ErrLost) && !errors.Is(err, persistence.ErrCorrupt) {
		t.Fatalf("record %d is damaged, reading a copy says: %v", seq, err)
	}
	if at != seq {
		t.Fatalf("record %d is damaged, reading a copy errs at %d: %v", seq, at, err)
	}
	if fingerprint(t, dir) != before {
		t.Fatal("the damaged store was changed")
	}
}

// tickOf returns the first tick that becomes unproven when a record is lost.
func tickOf(seq persistence.Seq) uint64 { return uint64(max(seq, 3) - 2) }

// readCopy checks a copy of a store as log check does, and reads its log as a replay does. It returns the sequence at
// which both stop.
func readCopy(t *testing.T, dir string) (persistence.Seq, error) {
	t.Helper()
	ctx := testContext(t)
	c, err := OpenCopy(ctx, dir, CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, _, err := c.Open(ctx, "dev", "main")
	if err != nil {
		return 1, err
	}
	defer s.Close()
	report, err := persistence.Check(ctx, s.Source(), persistence.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next, err := readProven(t, s)
	if report.Broken() != (err != nil) {
		t.Fatalf("reading says %v, the check %+v", err, report.Findings)
	}
	if err != nil && (report.Findings[0].Seq != next || report.Findings[0].Tick != tickOf(next)) {
		t.Fatalf("reading errs at record %d, the check finds %+v first", next, report.Findings[0])
	}
	return next, err
}

func readProven(t *testing.T, s *Shard) (persistence.Seq, error) {
	t.Helper()
	ctx := testContext(t)
	last := lastOf(t, s)
	next, err := s.log.First(ctx)
	if err != nil {
		t.Fatal(err)
	}
	chain := persistence.NewChain(testLineage)
	for m, err := range s.log.Read(ctx, next, last) {
		if err == nil && chain.Seq() == 0 && m.Seq > 1 {
			_, err = chain.Anchor(m)
		} else if err == nil {
			_, err = chain.Next(m)
		}
		if err != nil {
			return next, err
		}
		next++
	}
	return next - 1, nil
}

func TestSoundStoreIsProven(t *testing.T) {
	for _, end := range ends {
		t.Run(end, func(t *testing.T) {
			dir := newStore(t, end)
			before := fingerprint(t, dir)
			states, err := CheckStore(testContext(t), dir)
			if err != nil || len(states) != 1 {
				t.Fatal(states, err)
			}
			if s := states[0]; s.First != 1 || s.Last != storeRecords || s.LastTick != storeRecords-2 || s.Known != s.Last || s.Lineage != testLineage || s.Torn != "" {
				t.Fatalf("%+v", s)
			}
			if last, err := readCopy(t, dir); err != nil || last != storeRecords {
				t.Fatal(last, err)
			}
			if fingerprint(t, dir) != before {
				t.Fatal("the store was changed")
			}
			s := createShard(t, connectTo(t, startServer(t, ServerConfig{Dir: dir, Port: -1})))
			if lastOf(t, s) != storeRecords {
				t.Fatal(lastOf(t, s))
			}
			appendTicks(t, s, 1)
		})
	}
}

func TestNoStoreIsNoDamage(t *testing.T) {
	if states, err := CheckStore(testContext(t), filepath.Join(t.TempDir(), "none")); err != nil || len(states) != 0 {
		t.Fatal(states, err)
	}
}

// TestFlippedBitIsFound flips bits at random places of a log's files.
func TestFlippedBitIsFound(t *testing.T) {
	rnd := newRand(t)
	flips := 4
	if os.Getenv("WIND_LONG") != "" {
		flips = 200
	}
	for _, end := range ends {
		t.Run(end, func(t *testing.T) {
			store := newStore(t, end)
			rows := rowsOf(t, store, logStream("dev", "main"))
			for range flips {
				r := rows[rnd.IntN(len(rows))]
				flipAndFind(t, store, r, r.at+rnd.IntN(r.end-r.at), 1<<rnd.IntN(8))
			}
			for at := 6; at < 12; at++ { // its sequence leaps, up to 2^62: the server would allocate a place for each one in between
				flipAndFind(t, store, rows[11], rows[11].at+at, 0x40)
			}
			for at := range 4 { // its length: too short, too long, far too long; also in an older block
				flipAndFind(t, store, rows[3], rows[3].at+at, 0x02)
				flipAndFind(t, store, rows[len(rows)/2], rows[len(rows)/2].at+at, 0x20)
			}
			last := rows[len(rows)-1]
			flipAndFind(t, store, last, last.at+(last.end-last.at)/2, 1)
			flipAndFind(t, store, last, last.at+2, 1) // its length: the row seems to be cut off
		})
	}
}

// TestFlippedBitIsFoundWithoutOtherEvidence: no mark, no deltas and no snapshots know of a later record. The rows after
// the damage do.
func TestFlippedBitIsFoundWithoutOtherEvidence(t *testing.T) {
	for _, end := range ends {
		store := newStore(t, end)
		for _, gone := range []string{marksDir, filepath.Join(accountDir, deltaStream("dev", "main")), filepath.Join(accountDir, objectPrefix+snapshotBucket("dev"))} {
			if err := os.RemoveAll(filepath.Join(store, gone)); err != nil {
				t.Fatal(err)
			}
		}
		rows := rowsOf(t, store, logStream("dev", "main"))
		for _, r := range []row{rows[0], rows[40], rows[len(rows)-2]} {
			flipAndFind(t, store, r, r.end-20, 1)
		}
	}
}

func flipAndFind(t *testing.T, store string, r row, at int, mask byte) {
	t.Helper()
	dir := duplicate(t, store)
	file := filepath.Join(dir, strings.TrimPrefix(r.file, store))
	flip(t, file, at, mask)
	t.Logf("record %d: byte %d of %d, mask %02x", r.seq, at-r.at, r.end-r.at, mask)
	mustFindLoss(t, dir, persistence.Seq(r.seq))
}

func newRand(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestRemovedRecordIsFound(t *testing.T) {
	for _, end := range ends {
		t.Run(end, func(t *testing.T) {
			store := newStore(t, end)
			rows := rowsOf(t, store, logStream("dev", "main"))
			for _, i := range []int{0, 1, 40, len(rows) - 2, len(rows) - 1} {
				dir := duplicate(t, store)
				r := rows[i]
				edit(t, filepath.Join(dir, strings.TrimPrefix(r.file, store)), func(b []byte) []byte { return slices.Delete(b, r.at, r.end) })
				mustFindLoss(t, dir, persistence.Seq(r.seq))
			}
		})
	}
}

// TestDeletedRecordIsFound deletes a record as the server does if a stream allows it: with a tombstone at the end.
func TestDeletedRecordIsFound(t *testing.T) {
	store := newStore(t, "killed")
	rows := rowsOf(t, store, logStream("dev", "main"))
	last := rows[len(rows)-1]
	block, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(last.file), ".blk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{33, storeRecords} {
		dir := duplicate(t, store)
		edit(t, filepath.Join(dir, strings.TrimPrefix(last.file, store)), func(b []byte) []byte {
			return append(b, tombstoneRow(logStream("dev", "main"), block, seq)...)
		})
		mustFindLoss(t, dir, persistence.Seq(seq))
	}
}

func tombstoneRow(stream string, block int, seq uint64) []byte {
	b := make([]byte, blockHeader+blockChecksum)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint64(b[4:], seq|tombstoneBit)
	binary.LittleEndian.PutUint64(b[12:], uint64(time.Now().UnixNano()))
	h := keyedHash(stream + "-" + strconv.Itoa(block))
	h.Write(b[4:20])
	copy(b[blockHeader:], h.Sum(nil))
	return b
}

// TestCutTailIsFound cuts off acknowledged records; only an unacknowledged one may be cut off.
func TestCutTailIsFound(t *testing.T) {
	for _, end := range ends {
		t.Run(end, func(t *testing.T) {
			store := newStore(t, end)
			rows := rowsOf(t, store, logStream("dev", "main"))
			last := rows[len(rows)-1]
			cut := func(r row, at int) {
				t.Helper()
				dir := duplicate(t, store)
				file := filepath.Join(dir, strings.TrimPrefix(r.file, store))
				for _, later := range rows {
					if later.file != r.file && later.seq > r.seq {
						_ = os.Remove(filepath.Join(dir, strings.TrimPrefix(later.file, store)))
					}
				}
				edit(t, file, func(b []byte) []byte { return b[:at] })
				mustFindLoss(t, dir, persistence.Seq(r.seq))
			}
			cut(last, last.at)
			cut(last, last.at+7)
			cut(last, last.end-1)
			cut(rows[len(rows)-5], rows[len(rows)-5].at)
			cut(rows[20], rows[20].at+30)

			dir := duplicate(t, store)
			if err := os.RemoveAll(filepath.Join(dir, accountDir, logStream("dev", "main"))); err != nil {
				t.Fatal(err)
			}
			mustFindLoss(t, dir, 1)
		})
	}
}

// TestADamagedDescriptionIsNoLostHistory: the records are whole, but no server finds them. A start and a check say so
// and name the file. They do not refer to log check, which says no more. Restoring the description from a backup
// repairs the store.
func TestADamagedDescriptionIsNoLostHistory(t *testing.T) {
	store := newStore(t, "killed")
	for what, damage := range map[string]func(meta string){
		"meta.sum is missing": func(meta string) { _ = os.Remove(meta + "sum") },
		"meta.sum is flipped": func(meta string) { flip(t, meta+"sum", 3, 1) },
		"meta.inf is missing": func(meta string) { _ = os.Remove(meta + "inf") },
		"meta.inf is flipped": func(meta string) { flip(t, meta+"inf", 30, 4) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := duplicate(t, store)
			stream := filepath.Join(accountDir, logStream("dev", "main"))
			damage(filepath.Join(dir, stream, "meta."))
			before := fingerprint(t, dir)
			_, start := CheckStore(testContext(t), dir)
			_, look := readCopy(t, dir)
			for who, err := range map[string]error{"a start": start, "a look": look} {
				if !errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrLost) {
					t.Fatalf("%s says %v", who, err)
				}
				for _, part := range []string{"description of its log's stream", what[:8], filepath.Join(dir, stream)} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%s says nothing of %q: %v", who, part, err)
					}
				}
				if said := err.Error(); strings.Contains(said, "history lost") || strings.Contains(said, "log check") || strings.Contains(said, "\n") {
					t.Errorf("%s says %v", who, err)
				}
			}
			if fingerprint(t, dir) != before {
				t.Fatal("the damaged store was changed")
			}
			for _, file := range []string{"meta.inf", "meta.sum"} { // as the error says
				b, err := os.ReadFile(filepath.Join(store, stream, file))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, stream, file), b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if states, err := CheckStore(testContext(t), dir); err != nil || states[0].Last != storeRecords {
				t.Errorf("with the description of a backup: %+v, %v", states, err)
			}
		})
	}
}

// TestCutTailIsFoundWithoutTheMark: the delta stream and the snapshots are evidence too.
func TestCutTailIsFoundWithoutTheMark(t *testing.T) {
	store := newStore(t, "killed")
	if err := os.RemoveAll(filepath.Join(store, marksDir)); err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(t, store, logStream("dev", "main"))
	cutAt := func(seq int) string {
		dir := duplicate(t, store)
		for _, r := range rows[seq:] {
			file := filepath.Join(dir, strings.TrimPrefix(r.file, store))
			if r.file == rows[seq-1].file {
				_ = os.Truncate(file, int64(rows[seq-1].end))
			} else {
				_ = os.Remove(file)
			}
		}
		return dir
	}
	dir := cutAt(90) // the deltas know record 102, the snapshot record 70
	mustFindLoss(t, dir, 91)
	dir = cutAt(60)
	if err := os.RemoveAll(filepath.Join(dir, accountDir, deltaStream("dev", "main"))); err != nil {
		t.Fatal(err)
	}
	_, err := CheckStore(testContext(t), dir)
	var lost *persistence.LostError
	if !errors.As(err, &lost) || lost.EvidenceSeq != 70 || lost.EvidenceTick != 68 || !strings.Contains(lost.Evidence, "snapshot main/") {
		t.Fatal(err)
	}
}

// TestUnfinishedWriteIsNoLoss: a write that a crash cut off was never acknowledged.
func TestUnfinishedWriteIsNoLoss(t *testing.T) {
	dir := newStore(t, "killed")
	rows := rowsOf(t, dir, logStream("dev", "main"))
	last := rows[len(rows)-1]
	edit(t, last.file, func(b []byte) []byte { return append(b, b[last.at:last.at+(last.end-last.at)/2]...) })
	states, err := CheckStore(testContext(t), dir)
	if err != nil || states[0].Last != storeRecords || states[0].Torn == "" {
		t.Fatal(states, err)
	}
	s := createShard(t, connectTo(t, startServer(t, ServerConfig{Dir: dir, Port: -1})))
	appendTicks(t, s, 5)
}

func TestPurgedStoreIsProven(t *testing.T) {
	t.Setenv("WIND_TEST_PURGE", "1")
	for _, end := range ends {
		t.Run(end, func(t *testing.T) {
			store := newStore(t, end)
			states, err := CheckStore(testContext(t), store)
			if err != nil || states[0].First != 70 || states[0].Last != storeRecords {
				t.Fatalf("%+v, %v", states, err)
			}
			if last, err := readCopy(t, store); err != nil || last != storeRecords {
				t.Fatal(last, err)
			}
			rows := rowsOf(t, store, logStream("dev", "main"))
			if rows[0].seq >= 70 || end == "killed" {
				t.Logf("the files begin with record %d", rows[0].seq)
			} else { // the first block still contains purged records, to which damage does not matter
				dir := duplicate(t, store)
				flip(t, filepath.Join(dir, strings.TrimPrefix(rows[0].file, store)), rows[0].at+100, 1)
				if states, err := CheckStore(testContext(t), dir); err != nil || states[0].First != 70 || states[0].Last != storeRecords {
					t.Fatalf("%+v, %v", states, err)
				}
			}
			flipAndFind(t, store, rows[len(rows)-20], rows[len(rows)-20].at+100, 2)
		})
	}
}

// TestReplacedRecordIsFound: the last record is whole and chained, but not the one that was acknowledged.
func TestReplacedRecordIsFound(t *testing.T) {
	dir := newStore(t, "stopped")
	name := logStream("dev", "main")
	m, err := readMark(dir, name)
	if err != nil || m.seq != storeRecords || m.tick != storeRecords-2 || m.lineage != testLineage {
		t.Fatalf("%+v, %v", m, err)
	}
	w, err := openMark(dir, name, testLineage, 1)
	if err != nil {
		t.Fatal(err)
	}
	m.hash[3]++
	w.reached(m.seq, m.tick, m.hash, 0)
	w.close()
	_, err = CheckStore(testContext(t), dir)
	var lost *DamagedLogError
	if !errors.As(err, &lost) || lost.Seq != storeRecords {
		t.Fatal(err)
	}
}
