package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The tests in this file ask real servers, one and three, whether the fence of a partition holds: bare publishes with
// the headers that Log sends, without any code of Log. TestFence asks the same of Log itself.

// bare is a partition with what a test knows of its rooms.
type bare struct {
	t      *testing.T
	stream string
	codes  sync.Map // error code of a refusal → *atomic.Int64
}

// bareRoom is one room of a partition.
type bareRoom struct {
	*bare
	name string
}

// answer is the server's answer to an append.
type answer struct {
	seq  uint64 // in the stream; 0: refused
	code int    // of the refusal
	last uint64 // that the refusal names; 0: none
}

func newBare(t *testing.T, s site, c *Conn) *bare {
	t.Helper()
	b := &bare{t: t, stream: fmt.Sprintf("BARE%d", rand.Uint32())}
	_, err := c.js.CreateStream(testContext(t), jetstream.StreamConfig{
		Name: b.stream, Subjects: []string{b.stream + ".*.*.log", b.stream + ".*.*.seal"}, Storage: jetstream.FileStorage, Replicas: s.replicas,
		Discard: jetstream.DiscardNew, MaxBytes: 64 << 20, DenyDelete: true,
	})
	if err == nil {
		_, err = c.made(testContext(t), b.stream)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bare) room(name string) *bareRoom { return &bareRoom{b, name} }

func (r *bareRoom) subject(kind string) string { return r.stream + "." + r.name + ".lineage." + kind }
func (r *bareRoom) filter() string             { return r.subject(">") }

// request asks the server to append a message after the one with a sequence, as far as the filter matches.
func (r *bareRoom) request(c *Conn, kind string, expect uint64, filter, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	m := &nats.Msg{Subject: r.subject(kind), Data: []byte(body), Header: nats.Header{
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(expect, 10)}, jetstream.ExpectedLastSubjSeqSubjHeader: {filter},
	}}
	got, err := c.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return answer{}, err
	}
	var a struct {
		Error     *jetstream.APIError `json:"error"`
		Seq       uint64              `json:"seq"`
		Stream    string              `json:"stream"`
		Duplicate bool                `json:"duplicate"`
	}
	switch err := json.Unmarshal(got.Data, &a); {
	case err != nil:
		return answer{}, err
	case a.Error != nil:
		n, _ := r.codes.LoadOrStore(int(a.Error.ErrorCode), new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		refused := answer{code: int(a.Error.ErrorCode)}
		_, _ = fmt.Sscanf(a.Error.Description, "wrong last sequence: %d", &refused.last)
		return refused, nil
	case a.Stream != r.stream || a.Duplicate || a.Seq <= expect:
		return answer{}, fmt.Errorf("%s acknowledges %+v after %d", a.Stream, a, expect)
	}
	return answer{seq: a.Seq}, nil
}

// append is request with the filter of the layout. The server must answer.
func (r *bareRoom) append(c *Conn, kind string, expect uint64, body string) answer {
	r.t.Helper()
	a, err := r.request(c, kind, expect, r.filter(), body)
	if err != nil {
		r.t.Fatalf("room %s, %s after %d: %v", r.name, kind, expect, err)
	}
	return a
}

// stored appends and returns the record's sequence. It must be stored.
func (r *bareRoom) stored(c *Conn, kind string, expect uint64, body string) uint64 {
	r.t.Helper()
	a := r.append(c, kind, expect, body)
	if a.seq == 0 {
		r.t.Fatalf("room %s: %s after %d is refused: %+v", r.name, kind, expect, a)
	}
	return a.seq
}

// refused appends what the server must refuse.
func (r *bareRoom) refused(c *Conn, what, kind string, expect uint64) {
	r.t.Helper()
	a := r.append(c, kind, expect, what)
	if a.code != codeWrongLastSequence && a.code != codeWrongLastConstant {
		r.t.Errorf("room %s: %s after %d: %+v", r.name, what, expect, a)
	}
	r.t.Logf("%s is refused with code %d, last sequence %d", what, a.code, a.last)
}

// bodies returns what the partition holds of the room, in order.
func (r *bareRoom) bodies(c *Conn) (all []string) {
	r.t.Helper()
	ctx := testContext(r.t)
	s, err := c.js.Stream(ctx, r.stream)
	if err != nil {
		r.t.Fatal(err)
	}
	for seq := uint64(1); ; {
		m, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(r.filter()))
		if isMissing(err) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, string(m.Data))
		seq = m.Sequence + 1
	}
}

// refusals returns how often the servers refused an append, by code.
func (b *bare) refusals() map[int]int64 {
	all := map[int]int64{}
	b.codes.Range(func(code, n any) bool { all[code.(int)] = n.(*atomic.Int64).Load(); return true })
	return all
}

func TestFenceOfAPartition(t *testing.T) {
	onSites(t, func(t *testing.T, s site) {
		t.Run("writers of many rooms", func(t *testing.T) { manyRoomsInterleave(t, s) })
		t.Run("one of many writers of a room wins", func(t *testing.T) { oneWriterWins(t, s) })
		t.Run("a delayed record stays out", func(t *testing.T) { delayedRecordStaysOut(t, s) })
		t.Run("nothing lands behind a seal", func(t *testing.T) { nothingLandsBehindASeal(t, s) })
		if s.replicas > 1 {
			t.Run("a new leader", func(t *testing.T) { leaderChanges(t, s) })
		}
	})
}

// write appends records to a room, each after the last, until stop says so. An append without an answer is sent again
// and, if it is refused then, looked for, as an owner does. It returns the number of records, how many of them were
// acknowledged with the sequence after the expected one, and how often a record was refused that was then stored.
func (r *bareRoom) write(c *Conn, stop func(written int) bool) (written, adjacent, wrongly int, err error) {
	last, unsure := uint64(0), false
	for unsure || !stop(written) {
		body := fmt.Sprintf("%s %d", r.name, written)
		a, err := r.request(c, "log", last, r.filter(), body)
		switch {
		case err != nil:
			unsure = true
			continue
		case a.seq == 0 && unsure:
			seq, found, err := r.find(c, body)
			if err != nil || !found {
				continue // the server does not answer, or a copy is in process
			}
			a.seq = seq
		case a.seq == 0:
			wrongly++
			if wrongly > 1000 {
				return written, adjacent, wrongly, fmt.Errorf("room %s: record %d after %d is refused forever: %+v", r.name, written, last, a)
			}
			continue
		}
		if a.seq == last+1 {
			adjacent++
		}
		written, last, unsure = written+1, a.seq, false
	}
	return written, adjacent, wrongly, nil
}

// find returns the sequence of the room's last message, and whether it is body.
func (r *bareRoom) find(c *Conn, body string) (seq uint64, found bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := c.js.Stream(ctx, r.stream)
	if err != nil {
		return 0, false, err
	}
	m, err := s.GetLastMsgForSubject(ctx, r.filter())
	if isMissing(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return m.Sequence, string(m.Data) == body, nil
}

// last returns the sequence of the last message of the room, or 0.
func (r *bareRoom) last(c *Conn) uint64 {
	r.t.Helper()
	seq, _, err := r.find(c, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return seq
}

// verify checks that the partition holds a room's records once, in order and without a gap.
func (r *bareRoom) verify(c *Conn, written int) {
	r.t.Helper()
	all := r.bodies(c)
	for i, body := range all {
		if body != fmt.Sprintf("%s %d", r.name, i) {
			r.t.Fatalf("room %s: record %d of %d is %q", r.name, i, len(all), body)
		}
	}
	if len(all) != written {
		r.t.Errorf("room %s has %d records, %d were acknowledged", r.name, len(all), written)
	}
}

// play writes to rooms at once, each on a connection of its own, until stop, and checks them.
func (b *bare) play(s site, rooms int, stop func(written int) bool) (written, adjacent, wrongly int) {
	b.t.Helper()
	type result struct {
		room                       *bareRoom
		written, adjacent, wrongly int
		err                        error
	}
	results := make(chan result, rooms)
	for i := range rooms {
		r, c := b.room(fmt.Sprintf("room%d", i)), s.connect(b.t, s.addrs[i%len(s.addrs)])
		go func() {
			x := result{room: r}
			x.written, x.adjacent, x.wrongly, x.err = r.write(c, stop)
			results <- x
		}()
	}
	c := s.connect(b.t, "")
	for range rooms {
		x := <-results
		if x.err != nil {
			b.t.Fatal(x.err)
		}
		x.room.verify(c, x.written)
		written, adjacent, wrongly = written+x.written, adjacent+x.adjacent, wrongly+x.wrongly
	}
	return written, adjacent, wrongly
}

func manyRoomsInterleave(t *testing.T, s site) {
	b := newBare(t, s, s.connect(t, ""))
	written, adjacent, wrongly := b.play(s, 12, func(n int) bool { return n == 150 })
	t.Logf("%d records of 12 rooms, %d of them right behind the room's record before; refused and then stored: %d, by code %v", written, adjacent, wrongly, b.refusals())
	if adjacent > written/2 {
		t.Errorf("the rooms do not interleave: %d of %d records are adjacent", adjacent, written)
	}
}

// oneWriterWins has writers of one room send a record after the same one, all at once, while other rooms write. Which wins is
// decided by the server; two never do, whether the others find the winner stored or still in process. It is the filter by
// which a cluster's leader finds what is in process: two writers with different filters for one room may both win, so that
// every writer must send the same.
func oneWriterWins(t *testing.T, s site) {
	const rivals, rounds = 4, 60
	b := newBare(t, s, s.connect(t, ""))
	var over atomic.Bool
	var others sync.WaitGroup
	for i := range 2 {
		r, c := b.room(fmt.Sprintf("other%d", i)), s.connect(t, s.addrs[i%len(s.addrs)])
		others.Go(func() {
			if _, _, _, err := r.write(c, func(int) bool { return over.Load() }); err != nil {
				t.Error(err)
			}
		})
	}
	defer others.Wait()
	defer over.Store(true)
	var conns []*Conn
	for i := range rivals {
		conns = append(conns, s.connect(t, s.addrs[i%len(s.addrs)]))
	}
	r, last, records, decided := b.room("main"), uint64(0), 0, map[int]int{}
	for round := range rounds {
		won := r.compete(conns, last, decided, func(int) string { return r.filter() })
		if len(won) > 1 {
			t.Fatalf("round %d: %d of %d writers won: %v", round, len(won), rivals, won)
		}
		if len(won) == 1 { // else the leader had not forgotten yet that the record before was in process
			last, records = won[0], records+1
		}
	}
	if all := r.bodies(conns[0]); len(all) != records || records < rounds*9/10 {
		t.Errorf("%d rounds stored %d records, %d were acknowledged", rounds, len(all), records)
	}
	t.Logf("%d rounds of %d writers: in %d of them none won; refusals by code: %v", rounds, rivals, rounds-records, decided)

	mixed, twice := b.room("mixed"), 0
	last = 0
	for round := 0; round < rounds || s.replicas > 1 && twice == 0 && round < 50*rounds; round++ {
		won := mixed.compete(conns, last, decided, func(i int) string { return []string{mixed.filter(), mixed.subject("log")}[i%2] })
		if len(won) > 0 {
			last = slices.Max(won)
		}
		if len(won) > 1 {
			twice++
		}
	}
	if (twice > 0) != (s.replicas > 1) {
		t.Errorf("with two filters for one room, two writers won %d times", twice)
	}
}

// compete has one writer on each connection append after a record at once and returns the sequences of those that won. It
// counts the refusals by code.
func (r *bareRoom) compete(conns []*Conn, last uint64, refused map[int]int, filter func(i int) string) (won []uint64) {
	r.t.Helper()
	answers, begin := make(chan answer, len(conns)), make(chan struct{})
	for i, c := range conns {
		go func() {
			<-begin
			a, err := r.request(c, "log", last, filter(i), fmt.Sprintf("after %d by %d", last, i))
			if err != nil {
				r.t.Error(err)
			}
			answers <- a
		}()
	}
	close(begin)
	for range conns {
		if a := <-answers; a.seq > 0 {
			won = append(won, a.seq)
		} else {
			refused[a.code]++
		}
	}
	return won
}

// delayedRecordStaysOut delays a zombie's record until a successor has fenced, while a neighbour writes.
func delayedRecordStaysOut(t *testing.T, s site) {
	c, p := s.connect(t, ""), newProxy(t, s.addrs[0])
	zombie := s.connect(t, p.addr)
	b := newBare(t, s, c)
	r, neighbour := b.room("main"), b.room("neighbour")
	last := r.stored(c, "log", 0, "genesis")
	for i := range 5 {
		neighbour.stored(c, "log", neighbour.last(c), fmt.Sprint(i))
		last = r.stored(c, "log", last, fmt.Sprint("tick ", i))
	}
	p.hold(toServer, true)
	late := make(chan answer, 1)
	go func() {
		a, err := r.request(zombie, "log", last, r.filter(), "late")
		if err != nil {
			t.Error(err)
		}
		late <- a
	}()
	// It would match the neighbour's sequences, and those that follow its own expectation by one.
	neighbour.stored(c, "log", neighbour.last(c), "between")
	fence := r.stored(c, "log", last, "epoch 2")
	if fence == last+1 {
		t.Error("nothing lies between the fence and the record before")
	}
	p.hold(toServer, false)
	if a := <-late; a.code != codeWrongLastSequence {
		t.Errorf("the zombie's record: %+v", a)
	}
	r.stored(c, "log", fence, "tick 5")
	if all := r.bodies(c); len(all) != 8 || all[6] != "epoch 2" || all[7] != "tick 5" {
		t.Errorf("the room has %q", all)
	}
}

// nothingLandsBehindASeal tries to append to a sealed room whatever a writer could send: it has only ever heard of records on
// the subject .log. The seal's own sequence is what no writer sends. A purge of the room that keeps its last message keeps
// refusing; one that takes it too does not, which is why none does.
func nothingLandsBehindASeal(t *testing.T, s site) {
	ctx, c := testContext(t), s.connect(t, "")
	b := newBare(t, s, c)
	r, neighbour := b.room("main"), b.room("neighbour")
	genesis := r.stored(c, "log", 0, "genesis")
	epoch := r.stored(c, "log", genesis, "epoch 1")
	for i := range 3 {
		neighbour.stored(c, "log", neighbour.last(c), fmt.Sprint(i))
	}
	tick := r.stored(c, "log", epoch, "tick 1")
	seal := r.stored(c, "seal", tick, "seal")
	theirs := len(neighbour.bodies(c))
	attempt := func(when string) {
		r.refused(c, when+"the former owner's late record", "log", tick)
		r.refused(c, when+"its record before", "log", epoch)
		r.refused(c, when+"a new claim's epoch record", "log", tick)
		r.refused(c, when+"an operator's command", "log", tick)
		r.refused(c, when+"a second seal", "seal", tick)
		r.refused(c, when+"a late genesis", "log", 0)
	}
	attempt("")
	if all := r.bodies(c); len(all) != 4 || all[3] != "seal" {
		t.Fatalf("the room has %q", all)
	}
	stream, err := c.js.Stream(ctx, b.stream)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a removal that was interrupted is done again
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(r.filter()), jetstream.WithPurgeKeep(1)); err != nil {
			t.Fatal(err)
		}
	}
	if all := r.bodies(c); len(all) != 1 || all[0] != "seal" || r.last(c) != seal {
		t.Fatalf("the removed room has %q", all)
	}
	attempt("after the removal: ")
	if all := neighbour.bodies(c); len(all) != theirs {
		t.Errorf("the neighbour has %d records, had %d", len(all), theirs)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(r.filter())); err != nil {
		t.Fatal(err)
	}
	if a := r.append(c, "log", 0, "late"); a.seq == 0 {
		t.Errorf("with the seal gone, the server still refuses a late genesis (%+v): the removal could take the seal too", a)
	}
	if all := neighbour.bodies(c); len(all) != theirs {
		t.Errorf("the neighbour has %d records, had %d", len(all), theirs)
	}
}

// leaderChanges makes the partition's leader step down, again and again, while rooms write.
func leaderChanges(t *testing.T, s site) {
	c := s.connect(t, "")
	b := newBare(t, s, c)
	var over atomic.Bool
	var changes int
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer over.Store(true)
		for range 4 {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			before := leaderOf(ctx, c, b.stream)
			_, err := c.nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+b.stream, nil)
			for err == nil && ctx.Err() == nil {
				if now := leaderOf(ctx, c, b.stream); now != "" && now != before {
					changes++
					break
				}
			}
			cancel()
		}
	}()
	written, _, wrongly := b.play(s, 6, func(n int) bool { return over.Load() && n >= 50 })
	<-done
	t.Logf("%d changes of the leader, %d records; refused and then stored: %d, by code %v", changes, written, wrongly, b.refusals())
	if changes < 2 {
		t.Errorf("the leader changed %d times", changes)
	}
}

func leaderOf(ctx context.Context, c *Conn, stream string) string {
	s, err := c.js.Stream(ctx, stream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return ""
	}
	return s.CachedInfo().Cluster.Leader
}
