package persistence

import (
	"errors"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestNothingFollowsASeal: neither ticks nor an epoch nor a second seal, however it is written.
func TestNothingFollowsASeal(t *testing.T) {
	begin := func() *Chain {
		c := NewChain("")
		for _, r := range []*Record{sampleRecords()["genesis"], {Kind: KindEpoch, Epoch: 1, EpochStart: &EpochStart{Node: "a"}}, {Kind: KindTicks, Epoch: 1, Ticks: ticksFrom(1, 2)}} {
			m, err := c.Link(r, nil)
			if err == nil {
				_, err = c.Next(m)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	seal := func(epoch Epoch, tick uint64) *Record {
		return &Record{Kind: KindSeal, Epoch: epoch, Seal: &Seal{Node: "a", Tick: tick, Reason: EndIdle}}
	}
	for name, r := range map[string]*Record{"of another tick": seal(1, 1), "of another epoch": seal(2, 2)} {
		if _, err := begin().Link(r, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a seal %s: %v", name, err)
		}
	}
	c := begin()
	m, err := c.Link(seal(1, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Sealed() {
		t.Error("sealed before the record is in the log")
	}
	if r, err := c.Next(m); err != nil || !c.Sealed() || r.Seal.Reason != EndIdle {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, r := range map[string]*Record{
		"ticks":    {Kind: KindTicks, Epoch: 1, Ticks: ticksFrom(3, 1)},
		"an epoch": {Kind: KindEpoch, Epoch: 2, EpochStart: &EpochStart{Node: "b", From: 2}},
		"a seal":   seal(1, 2),
	} {
		var corrupt *CorruptError
		if _, err := c.Link(r, nil); !errors.As(err, &corrupt) || corrupt.Rule != "I11" {
			t.Errorf("%s behind the seal: %v", name, err)
		}
		r.Seq, r.Prev = c.Seq()+1, c.Hash()
		body, err := r.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Next(r.Message(body)); !errors.As(err, &corrupt) || corrupt.Rule != "I11" {
			t.Errorf("%s behind the seal, read: %v", name, err)
		}
	}
}

func TestASealHasAReasonAndAResultOnlyFromTheGame(t *testing.T) {
	result := &ecs.Message{To: ecs.EndAddress, Name: "score"}
	for name, s := range map[string]Seal{
		"no reason":        {Node: "a"},
		"another reason":   {Node: "a", Reason: "bored"},
		"no node":          {Reason: EndIdle},
		"no result":        {Node: "a", Reason: EndResult},
		"a foreign result": {Node: "a", Reason: EndIdle, Result: result},
	} {
		r := Record{Kind: KindSeal, Seq: 3, Seal: &s}
		if _, err := r.Encode(nil); err == nil {
			t.Errorf("%s: a seal was written", name)
		}
	}
}
