package persistence

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

func sampleRun() []Delta {
	d := Delta{Lineage: testLineage, Epoch: 3, RecordSeq: 812, Tick: 805, Checksum: 0x0123456789abcdef, Part: 1, Parts: 1, Group: 805, Size: 9, Body: []byte{1, 2, 3}}
	run := []Delta{d, d, d}
	run[1].Tick, run[1].Checksum, run[1].Size, run[1].Body = 806, 7, 0, []byte{}
	run[2].Tick, run[2].RecordSeq, run[2].Checksum, run[2].Group, run[2].Size, run[2].Body = 807, 813, 1<<64-1, 807, 300, []byte{4}
	return run
}

// unshared returns deltas without what DecodeDeltas adds to those of one message.
func unshared(all []Delta) []Delta {
	for i := range all {
		all[i].Run, all[i].Share = 0, 0
	}
	return all
}

func TestSeveralDeltasInAMessageAreGolden(t *testing.T) {
	b, err := EncodeDeltas([]byte("before"), sampleRun())
	if err != nil || !bytes.HasPrefix(b, []byte("before")) {
		t.Fatal(err)
	}
	b = b[len("before"):]
	golden(t, "deltas", b)
	back, err := DecodeDeltas(readGolden(t, "deltas"))
	if err != nil || len(back) != 3 || back[0].Run != 3 || back[0].Share+back[1].Share+back[2].Share > len(b) {
		t.Fatalf("%+v, %v", back, err)
	}
	if want := sampleRun(); !reflect.DeepEqual(unshared(back), want) {
		t.Errorf("decoded\n%+v\nwant\n%+v", back, want)
	}
	if h := DeltasHeader(back); h != (Header{Kind: "deltas", FirstTick: 805, LastTick: 807, Epoch: 3, Checksum: 1<<64 - 1, Version: 3}) {
		t.Errorf("%+v", h)
	}
	if _, err := DecodeDelta(b); !errors.Is(err, ErrCorrupt) {
		t.Errorf("as one delta: %v", err)
	}
}

// TestOneDeltaIsAMessageOfItsOwn: with and without a run, its bytes and its header are the same.
func TestOneDeltaIsAMessageOfItsOwn(t *testing.T) {
	for name, d := range sampleDeltas() {
		b, err := EncodeDeltas(nil, []Delta{*d})
		if err != nil || !bytes.Equal(b, readGolden(t, name)) || DeltasHeader([]Delta{*d}) != d.Header() {
			t.Errorf("%s: %v", name, err)
		}
		if all, err := DecodeDeltas(b); err != nil || len(all) != 1 || !reflect.DeepEqual(all[0], *d) {
			t.Errorf("%s: %+v, %v", name, all, err)
		}
	}
}

// runOf returns n packed deltas with bodies of a size.
func runOf(n, size int) (run []Delta) {
	for i := range n {
		run = append(run, packedAs(uint64(i)+1, 1, size, make([]byte, size)))
	}
	return run
}

func TestLimitsOfARunAreKeptOnBothSides(t *testing.T) {
	for _, most := range [][]Delta{runOf(MaxRun, MaxRunBytes/MaxRun), runOf(2, MaxRunBytes/2), runOf(MaxRun, 0)} {
		b, err := EncodeDeltas(nil, most)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeDeltas(b); err != nil || !reflect.DeepEqual(unshared(back), most) {
			t.Errorf("%d deltas are written but not read: %v", len(most), err)
		}
	}
	change := func(f func(run []Delta)) []Delta {
		run := sampleRun()
		f(run)
		return run
	}
	for says, run := range map[string][]Delta{
		"257 deltas in one message, 2 to 256":           runOf(MaxRun+1, 0),
		"0 deltas in one message":                       nil,
		"packed bodies of 65538 bytes":                  runOf(2, MaxRunBytes/2+1),
		"tick 807 cannot follow that of tick 805":       change(func(run []Delta) { run[1].Tick = 807 }),
		"tick 806 cannot follow that of tick 805":       change(func(run []Delta) { run[1].Epoch = 4 }),
		"tick 807 cannot follow":                        change(func(run []Delta) { run[2].Lineage = "l" }),
		"tick 806 is not packed and whole":              change(func(run []Delta) { run[1].Group, run[1].Size = 0, 0 }),
		"tick 805 is not packed":                        change(func(run []Delta) { run[0].Part, run[0].Parts = 1, 2 }),
		"a gap must not have":                           change(func(run []Delta) { run[2].Gap = &Gap{FromTick: 807, ToTick: 807} }),
		"must not have tick 806 of record 0":            change(func(run []Delta) { run[1].RecordSeq = 0 }),
		"cannot have a packed body of 9 bytes in the g": change(func(run []Delta) { run[0].Group = 806 }),
	} {
		if b, err := EncodeDeltas([]byte("kept"), run); err == nil || !strings.Contains(err.Error(), says) || string(b) != "kept" {
			t.Errorf("%q: %v", says, err)
		}
	}
}

// TestARunThatNoWriterWritesIsRefused alters the golden message and seals it again.
func TestARunThatNoWriterWritesIsRefused(t *testing.T) {
	for says, change := range map[string][2]string{
		"3 deltas from tick 804 to 807":        {"\xa4from\xcd\x03\x25", "\xa4from\xcd\x03\x24"},
		"3 deltas from tick 808 to 807":        {"\xa4from\xcd\x03\x25", "\xa4from\xcd\x03\x28"},
		"3 deltas from tick 0 to 2":            {"\xa4tick\xcd\x03\x27\xa4from\xcd\x03\x25", "\xa4tick\x02\xa4from\x00"},
		`key "check" where "record"`:           {"\x85\xa6record\xcd\x03\x2c", "\x84"},
		`key "size" where "group"`:             {"\xa5group\xcd\x03\x25", ""},
		"in the group of tick 808":             {"\xa5group\xcd\x03\x27", "\xa5group\xcd\x03\x28"},
		"is not packed and whole":              {"\xa5group\xcd\x03\x25\xa4size\x09", "\xa5group\x00\xa4size\x00"},
		"size is 68157441, at most 68157440":   {"\xa4size\x09", "\xa4size\xce\x04\x10\x00\x01"},
		"an array of 257":                      {"\xa6deltas\x93", "\xa6deltas\xdc\x01\x01"},
		"0 deltas from tick 805 to 807":        {"\xa6deltas\x93", "\xa6deltas\x90"},
		"2 deltas from tick 805 to 807":        {"\xa6deltas\x93", "\xa6deltas\x92"},
		"1 unknown entries":                    {"\x83\xa5check", "\x84\xa5check"},
		"deltas of version 2":                  {"\xa1v\x03", "\xa1v\x02"},
		`unknown kind "deltaz"`:                {"\xa6deltas\xa7lineage", "\xa6deltaz\xa7lineage"},
		`lineage "" has 0 bytes`:               {"\xa7lineage\xd9\x24" + testLineage, "\xa7lineage\xa0"},
		"must not have tick 807 of record 0":   {"\xa6record\xcd\x03\x2d", "\xa6record\x00"},
		`key "record" where "check"`:           {"\x85\xa6record\xcd\x03\x2d", "\x86\xa6record\xcd\x03\x2d\xa6record\xcd\x03\x2d"},
		"code 0x91 where bytes were expected":  {"\xa4zstd\xc4\x01\x04", "\xa4zstd\x91\x00"},
		"100 bytes declared":                   {"\xa4zstd\xc4\x01\x04", "\xa4zstd\xc4\x64\x04"},
		"65537 bytes where at most 65536":      {"\xa4zstd\xc4\x01\x04", "\xa4zstd\xc6\x00\x01\x00\x01\x04"},
		"code 0xc3 where an unsigned":          {"\xa5epoch\x03", "\xa5epoch\xc3"},
		`key "from" where "tick"`:              {"\xa4tick\xcd\x03\x27", ""},
		"code 0xcd where a map was expected":   {"\x85\xa6record\xcd\x03\x2d", "\xcd\x00\x00"},
		"1 deltas in one message, 2 to 256 ar": {"", ""}, // below
	} {
		b := readGolden(t, "deltas")
		if change[0] == "" {
			one, err := EncodeDeltas(nil, sampleRun()[:2])
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.Index(one, []byte("\x83\xa5check"))
			b = append(one[:at:at], one[len(one)-tailBytes:]...)
			b = bytes.Replace(bytes.Replace(b, []byte("\xa6deltas\x92"), []byte("\xa6deltas\x91"), 1), []byte("\xa4tick\xcd\x03\x26"), []byte("\xa4tick\xcd\x03\x25"), 1)
		} else if !bytes.Contains(b, []byte(change[0])) {
			t.Fatalf("%q is not in it", change[0])
		} else {
			b = bytes.Replace(b, []byte(change[0]), []byte(change[1]), 1)
		}
		if all, err := DecodeDeltas(resealed(b)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), says) || all != nil {
			t.Errorf("%q: %v", says, err)
		}
	}
}

func TestAFalseLengthOfARunCostsLittle(t *testing.T) {
	b := bytes.Replace(readGolden(t, "deltas"), []byte("\xa6deltas\x93"), []byte("\xa6deltas\xdd\xff\xff\xff\xff"), 1)
	b = resealed(b)
	if n := allocated(func() { _, _ = DecodeDeltas(b) }); n > 64<<10 {
		t.Errorf("%d bytes allocated for %d", n, len(b))
	}
}

// TestADeltaRunTakesWhatFitsInAMessage: whatever Add takes, EncodeDeltas accepts, within the limit.
func TestADeltaRunTakesWhatFitsInAMessage(t *testing.T) {
	var r DeltaRun
	fill := func(limit int, all ...Delta) int {
		t.Helper()
		r.Reset()
		for _, d := range all {
			if !r.Add(d, limit) {
				break
			}
		}
		n := len(r.Deltas())
		if n == 0 {
			return 0
		}
		b, err := EncodeDeltas(nil, r.Deltas())
		if err != nil || len(b) > limit {
			t.Fatalf("%d deltas in %d bytes, at most %d: %v", n, len(b), limit, err)
		}
		if back, err := DecodeDeltas(b); err != nil || len(back) != n || !bytes.Equal(back[n-1].Body, all[n-1].Body) {
			t.Fatalf("%d deltas come back as %d: %v", n, len(back), err)
		}
		return n
	}
	gap := Delta{Lineage: testLineage, Epoch: 1, RecordSeq: 9, Tick: 3, Gap: &Gap{FromTick: 2, ToTick: 3, Reason: "lost"}}
	other := runOf(2, 1)
	other[1].Epoch = 2
	for name, c := range map[string]struct {
		want, limit int
		all         []Delta
	}{
		"as many as allowed":      {MaxRun, 1 << 20, runOf(300, 10)},
		"bodies of 64 KiB":        {64, 1 << 20, runOf(300, 1<<10)},
		"one of 64 KiB":           {1, 1 << 20, runOf(2, 64<<10)},
		"one that is too large":   {0, 1 << 20, runOf(2, 64<<10+1)},
		"a limit of 1 KiB":        {4, 1 << 10, runOf(9, 100)},
		"one beyond the limit":    {0, 1 << 10, runOf(1, 1<<10)},
		"a gap alone":             {1, 1 << 20, []Delta{gap, packedAs(4, 4, 1, []byte{1})}},
		"nothing before a gap":    {1, 1 << 20, []Delta{packedAs(1, 1, 1, []byte{1}), gap}},
		"of another owner":        {1, 1 << 20, other},
		"after a missing tick":    {2, 1 << 20, append(runOf(2, 1), packedAs(4, 4, 1, []byte{1}))},
		"after one not packed":    {1, 1 << 20, []Delta{wholeDelta(1, 5), packedAs(2, 2, 1, []byte{1})}},
		"the last body is copied": {3, 1 << 20, runOf(3, 7)},
	} {
		if n := fill(c.limit, c.all...); n != c.want {
			t.Errorf("%s: %d deltas, want %d", name, n, c.want)
		}
	}
	d := packedAs(1, 1, 1, []byte{1})
	r.Reset()
	r.Add(d, 1<<20)
	if d.Body[0] = 2; r.Deltas()[0].Body[0] != 1 {
		t.Error("the run keeps another's memory")
	}
}

// inRuns returns the messages of a stream with up to n deltas in each.
func inRuns(t testing.TB, messages []storedDelta, n int) (bodies [][]byte) {
	t.Helper()
	var r DeltaRun
	flush := func() {
		if len(r.Deltas()) == 0 {
			return
		}
		b, err := EncodeDeltas(nil, r.Deltas())
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, b)
		r.Reset()
	}
	for _, m := range messages {
		d, err := DecodeDelta(m.body)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Deltas()) == n || !r.Add(d, 1<<20) {
			flush()
			if !r.Add(d, 1<<20) {
				t.Fatalf("tick %d does not fit", d.Tick)
			}
		}
	}
	flush()
	return bodies
}

// TestRunsAreReadWithThePageAlone: a generic msgpack reader and FORMAT.md yield the deltas of a game, whatever messages
// contain them.
func TestRunsAreReadWithThePageAlone(t *testing.T) {
	v := sail(t, 150)
	_, want := stored(t, v.m.Deltas(), 0)
	for _, n := range []int{1, 7, 32, MaxRun} {
		var unpacker pageUnpacker
		due := uint64(1)
		for _, b := range inRuns(t, v.m.deltas, n) {
			var m map[string]any
			if err := msgpack.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			for _, d := range pageDeltas(m) {
				if d.Tick != due || !bytes.Equal(unpacker.body(d), want[due]) {
					t.Fatalf("runs of %d: tick %d comes where %d is due, or with another body", n, d.Tick, due)
				}
				due++
			}
		}
		if due != 151 {
			t.Errorf("runs of %d end before tick %d", n, due)
		}
	}
}

// pageDeltas returns the deltas of a message of kind delta or deltas, as FORMAT.md describes them.
func pageDeltas(m map[string]any) (all []Delta) {
	number := func(v any) uint64 {
		n := reflect.ValueOf(v)
		if n.CanInt() {
			return uint64(n.Int())
		}
		return n.Uint()
	}
	read := func(d Delta, e map[string]any) Delta {
		if r, ok := e["record"]; ok {
			d.RecordSeq = Seq(number(r))
		}
		if g, ok := e["group"]; ok {
			d.Group = number(g)
		}
		d.Checksum, d.Size, d.Body = number(e["check"]), int(number(e["size"])), e["zstd"].([]byte)
		return d
	}
	d := Delta{Lineage: m["lineage"].(string), Epoch: Epoch(number(m["epoch"])), Tick: number(m["tick"])}
	if m["kind"] == "delta" {
		return []Delta{read(d, m)}
	}
	d.Tick = number(m["from"])
	for _, e := range m["deltas"].([]any) {
		d = read(d, e.(map[string]any))
		all = append(all, d)
		d.Tick++
	}
	return all
}

// storedRuns reads a stream's messages as a partition's reader does.
type storedRuns struct {
	*MemoryDeltas
	bodies [][]byte
}

func (s *storedRuns) Read(_ context.Context, from uint64) iter.Seq2[Delta, error] {
	return FromTick(from, func(yield func(Delta, error) bool) {
		for _, b := range s.bodies {
			all, err := DecodeDeltas(b)
			if err != nil && !yield(Delta{}, err) {
				return
			}
			for _, d := range all {
				if !yield(d, nil) {
					return
				}
			}
		}
	})
}

// TestARunIsWhatItsDeltasAre: a check, a replay from deltas and an export find the same as in single messages. A damaged
// message costs its deltas, and those of the rest of its group.
func TestARunIsWhatItsDeltasAre(t *testing.T) {
	v := sail(t, 150)
	src := v.source()
	runs := &storedRuns{MemoryDeltas: v.m.Deltas(), bodies: inRuns(t, v.m.deltas, 20)}
	src.Deltas = runs
	finds(t, checkWith(t, src, drift(0)))
	result, w, err := replay(t, src, drift(0), ReplayOptions{FromDeltas: true, Verify: true})
	if err != nil || w.Tick() != 150 {
		t.Fatal(result, err)
	}
	runs.bodies[2][30] ^= 1
	report := checkWith(t, src, drift(0))
	if len(report.Findings) == 0 || report.Findings[0].Where != "deltas" || report.Findings[0].Tick != 41 {
		t.Errorf("%+v", report.Findings)
	}
}

// TestStatSharesAMessageAmongItsDeltas: together they take what their messages take.
func TestStatSharesAMessageAmongItsDeltas(t *testing.T) {
	v := sail(t, 150)
	src := v.source()
	src.MessageOverhead = 300
	runs := &storedRuns{MemoryDeltas: v.m.Deltas(), bodies: inRuns(t, v.m.deltas, 20)}
	src.Deltas = runs
	stat, err := Stat(t.Context(), src, StatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, b := range runs.bodies {
		all, err := DecodeDeltas(b)
		if err != nil {
			t.Fatal(err)
		}
		want += len(b) + DeltasHeader(all).Size() + src.MessageOverhead
	}
	if have := int(stat.Deltas.Sum); stat.Deltas.Count != 150 || have > want || have < want*98/100 {
		t.Errorf("%d deltas take %d bytes, their messages %d", stat.Deltas.Count, have, want)
	}
}
