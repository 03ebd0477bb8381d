package shard

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

func TestRejoinEndsOnlyWhereALaterAttemptCannotServe(t *testing.T) {
	for _, c := range []struct {
		err  error
		exit bool
	}{
		{nil, true},
		{fmt.Errorf("%w: the shard's game is walk, but this node runs run", ErrRefused), true},
		{fmt.Errorf("%w after tick 9: its time was over", ErrEnded), true},
		{fmt.Errorf("%w: node b has it, with epoch 3", ErrOwned), true},
		{ErrFenced, false},
		{ErrLeaseLost, false},
		{fmt.Errorf("%w: %w", ErrHalted, persistence.ErrLost), false},
		{persistence.ErrLost, false},
		{ErrTooLarge, false},
		{persistence.ErrFull, false},
		{errors.New("etcd: cannot read shard main: context deadline exceeded"), false},
	} {
		var r Rejoin
		if next := r.Next(Ended{Err: c.err}); next.Exit != c.exit {
			t.Errorf("%v: exit %v, want %v", c.err, next.Exit, c.exit)
		}
	}
}

func TestRejoinPausesGrowAndBeginAnewBehindASteadyOwner(t *testing.T) {
	var r Rejoin
	var total, before time.Duration
	for i := range 20 {
		next := r.Next(Ended{Err: ErrLeaseLost})
		if next.Exit || next.After < before || next.After > rejoinMost {
			t.Fatalf("attempt %d: %+v after a pause of %s", i, next, before)
		}
		total, before = total+next.After, next.After
	}
	if total < 20*time.Second || before != rejoinMost {
		t.Errorf("20 attempts in %s, the last pause is %s", total, before)
	}
	if next := r.Next(Ended{Err: ErrLeaseLost, Owned: time.Second}); next.After != rejoinMost {
		t.Errorf("behind an owner of a second the pause is %s", next.After)
	}
	if next := r.Next(Ended{Err: ErrLeaseLost, Owned: rejoinSteady}); next.After != rejoinFirst {
		t.Errorf("behind a steady owner the pause is %s", next.After)
	}
}
