package persistence

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func wholeDelta(tick uint64, size int) Delta {
	body := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(tick)}).Read(body) // packing does not make it shorter
	return Delta{Lineage: testLineage, Epoch: 1, RecordSeq: Seq(tick + 2), Tick: tick, Checksum: checksumOf(tick), Part: 1, Parts: 1, Body: body}
}

func TestSplitPartsFitTheLimitAndJoin(t *testing.T) {
	for _, size := range []int{0, 1, 700, 1000, 5000, 100_000} {
		d := wholeDelta(1<<60, size)
		parts, err := d.Split(1024)
		if err != nil {
			t.Fatal(err)
		}
		var j Joiner
		for i := range parts {
			b, err := parts[i].Encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > 1024 {
				t.Fatalf("part %d of a delta of %d bytes is %d bytes", i+1, size, len(b))
			}
			read, err := DecodeDelta(b)
			if err != nil {
				t.Fatal(err)
			}
			whole, complete, err := j.Add(read)
			if err != nil || complete != (i == len(parts)-1) {
				t.Fatalf("part %d of %d: complete %v, %v", i+1, len(parts), complete, err)
			}
			if complete && (!bytes.Equal(whole.Body, d.Body) || whole.Header() != d.Header()) {
				t.Fatalf("joined %d bytes to %d", size, len(whole.Body))
			}
		}
	}
	if _, err := wholeDelta(1, 5<<20).Split(1024); err == nil {
		t.Error("a delta of more than MaxParts messages was split")
	}
}

func TestJoinerRefusesWhatDoesNotFit(t *testing.T) {
	a, _ := wholeDelta(5, 3000).Split(1024)
	b, _ := wholeDelta(6, 3000).Split(1024)
	other := a[1]
	other.Checksum++
	for name, messages := range map[string][]Delta{
		"a part left out":              {a[0], a[2]},
		"a part twice":                 {a[0], a[1], a[1]},
		"a part of another tick":       {a[0], b[1]},
		"another tick before the end":  {a[0], b[0]},
		"a part of another simulation": {a[0], other},
	} {
		var j Joiner
		var err error
		for _, m := range messages {
			if _, _, err = j.Add(m); err != nil {
				break
			}
		}
		var c *CorruptError
		if !errors.As(err, &c) || c.Tick == 0 || c.Seq == 0 || !strings.Contains(err.Error(), "part") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATickBegunAgainReplacesAbandonedParts(t *testing.T) {
	old, _ := wholeDelta(5, 3000).Split(1024)
	again, _ := wholeDelta(5, 3000).Split(2048)
	next := wholeDelta(6, 10)
	var got []uint64
	for d, err := range JoinDeltas(yieldAll(append(append(old[:2:2], again...), next))) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.Tick)
	}
	if len(got) != 2 || got[0] != 5 || got[1] != 6 {
		t.Errorf("ticks %v", got)
	}
}

func TestPartsAtBothEndsThatAreNotWholeAreLeftOut(t *testing.T) {
	a, _ := wholeDelta(5, 3000).Split(1024)
	b, _ := wholeDelta(7, 3000).Split(1024)
	messages := append(append(a[1:len(a):len(a)], wholeDelta(6, 1)), b[:2]...)
	var got []uint64
	for d, err := range JoinDeltas(yieldAll(messages)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.Tick)
	}
	if len(got) != 1 || got[0] != 6 {
		t.Errorf("ticks %v", got)
	}
}

func yieldAll(all []Delta) func(func(Delta, error) bool) {
	return func(yield func(Delta, error) bool) {
		for _, d := range all {
			if !yield(d, nil) {
				return
			}
		}
	}
}
