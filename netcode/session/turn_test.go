package session

import (
	"slices"
	"sync"
	"testing"
	"time"
)

func newTurn() *turn { return &turn{hub: newHub(Config{}.withDefaults()), clock: time.Now} }

// TestWhoLeavesACallNeverWaits: it is made when the hub is given back, and the calls of one goroutine in their order.
func TestWhoLeavesACallNeverWaits(t *testing.T) {
	u := newTurn()
	var made []int
	call := func(i int) func() { return func() { made = append(made, i) } }
	u.leave(1, call(1)) // at once
	u.take()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 2; i < 5; i++ {
			if !u.leave(1, call(i)) {
				t.Errorf("call %d was dropped", i)
			}
		}
		if u.tryTake() {
			t.Error("two have the hub")
		}
	}()
	<-done // it did not wait for the hub
	if !slices.Equal(made, []int{1}) {
		t.Errorf("the calls %v were made while somebody had the hub", made)
	}
	u.give()
	if u.leave(1, call(5)); !slices.Equal(made, []int{1, 2, 3, 4, 5}) {
		t.Errorf("the calls %v", made)
	}
}

// TestAHubThatIsNeverGivenBackHoldsOnlySoMuch of the clients' messages, and hears of the end of each connection.
func TestAHubThatIsNeverGivenBackHoldsOnlySoMuch(t *testing.T) {
	u, made := newTurn(), 0
	count := func() { made++ }
	u.take()
	const size = maxLeft / 8
	for i := range 10 {
		if kept := u.leave(size, count); kept != (i < 8) {
			t.Errorf("message %d was kept: %v", i, kept)
		}
	}
	u.leave(0, count)
	u.give()
	if made != 9 {
		t.Errorf("%d calls were made", made)
	}
	if !u.leave(maxLeft, count) || made != 10 {
		t.Error("there is no room again")
	}
}

// TestNoCallIsForgotten, whoever has the hub when it is left. Run it with -race.
func TestNoCallIsForgotten(t *testing.T) {
	const workers, calls = 8, 2000
	u, made := newTurn(), 0
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for range calls {
				switch {
				case w%2 == 0:
					u.leave(0, func() { made++ })
				case u.tryTake():
					made++
					u.give()
				default:
					u.take()
					made++
					u.give()
				}
			}
		})
	}
	group.Wait()
	u.take()
	defer u.give()
	if made != workers*calls {
		t.Errorf("%d of %d calls were made", made, workers*calls)
	}
}
