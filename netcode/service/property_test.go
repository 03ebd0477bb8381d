package service_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

// journal is a handler that performs the steps of its request, one per letter, and records when it has the thread. Its
// fields are unguarded: handlers share them.
type journal struct {
	t       *rapid.T
	inside  int // handlers that have the thread
	entries []string
}

// has records that a handler has the thread from now on; the returned function, that it gives it up.
func (j *journal) has() (gone func()) {
	if j.inside++; j.inside != 1 {
		j.t.Errorf("%d handlers have the thread", j.inside)
	}
	for range 5 {
		runtime.Gosched() // so that another handler could come in between
	}
	return func() { j.inside-- }
}

func (j *journal) StringValue(c *service.Ctx, r *wrapperspb.StringValue) error {
	gone := j.has()
	defer func() { gone() }()
	who, steps, _ := strings.Cut(r.Value, " ")
	j.entries = append(j.entries, who+" begins")
	defer func() { j.entries = append(j.entries, who+" ends") }()
	for _, step := range steps {
		switch step {
		case 's', 'S': // sleep; the longer one exceeds most timeouts
			d := time.Second
			if step == 'S' {
				d = time.Minute
			}
			gone()
			err := c.Sleep(d)
			gone = j.has()
			if err != nil {
				return err
			}
		case 'y': // let others run
			gone()
			c.Suspend(func() {})
			gone = j.has()
		case 'w': // spawn something that also lets others run
			if err := c.Spawn(func(c *service.Ctx) {
				gone := j.has()
				gone()
				c.Suspend(func() {})
				j.has()()
			}); err != nil {
				return err
			}
		case 'p':
			panic("on purpose")
		case 'e':
			return rpc.Errorf(rpc.NotFound, "on purpose")
		}
	}
	return nil
}

// sending is a request of the test and its answers.
type sending struct {
	who      string // player and number
	player   string
	refused  bool
	answers  int
	code     rpc.Code
	maybe    bool
	executed bool
}

// TestWhateverIsAskedTheThreadHasOneHandlerAndEveryRequestOneAnswer sends requests of several players at random times,
// and closes the service while they run.
func TestWhateverIsAskedTheThreadHasOneHandlerAndEveryRequestOneAnswer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type op struct {
			player, steps int
			timeout, wait int
		}
		scripts := []string{"", "s", "y", "ys", "syw", "w", "p", "yp", "e", "sye", "S", "yS", "yyyy"}
		ops := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) op {
			return op{
				player: rapid.IntRange(0, 4).Draw(t, "player"), steps: rapid.IntRange(0, len(scripts)-1).Draw(t, "steps"),
				timeout: rapid.IntRange(0, 9000).Draw(t, "timeout"), wait: rapid.IntRange(0, 600).Draw(t, "wait"),
			}
		}), 1, 60).Draw(rt, "requests")
		synctest.Test(t, func(t *testing.T) {
			j := &journal{t: rt}
			s, err := service.New(service.Config{
				Type: "game", ID: "game-1", Files: files, Client: []any{j}, Public: []string{"StringValue"},
				MaxWaitingOfOne: 4, MaxWaiting: 20, Logger: (&captured{}).logger(),
			})
			if err != nil {
				rt.Fatal(err)
			}
			var mu sync.Mutex
			var all []*sending
			for i, o := range ops {
				x := &sending{who: fmt.Sprintf("%d/%d", o.player, i), player: fmt.Sprint(o.player)}
				r := from("", wrapperspb.String(x.who+" "+scripts[o.steps]))
				if r.Session = "gateway/" + x.player; o.player == 0 {
					x.player, r.Session, r.Player = "0", "gateway/0", "zero"
				}
				r.Timeout = time.Duration(o.timeout) * time.Millisecond
				all = append(all, x)
				s.Handle(r, func(a rpc.Response) {
					mu.Lock()
					defer mu.Unlock()
					x.answers++
					if a.Err != nil {
						x.code, x.maybe = a.Err.Code, a.Err.Maybe
						x.refused = a.Err.Code == rpc.ResourceExhausted
					}
				})
				time.Sleep(time.Duration(o.wait) * time.Millisecond)
			}
			closeIt(t, s)
			check(rt, j, all)
			if st := s.Stats(); st.InFlight != 0 || st.Waiting != 0 || st.Handled != uint64(len(all)) {
				rt.Errorf("after Close: %+v", st)
			}
		})
	})
}

// check compares what happened with the guarantees.
func check(t *rapid.T, j *journal, all []*sending) {
	running := map[string]string{}
	begun := map[string][]string{}
	for _, e := range j.entries {
		who, what, _ := strings.Cut(e, " ")
		player, _, _ := strings.Cut(who, "/")
		if what == "begins" {
			if running[player] != "" {
				t.Errorf("%s begins while %s runs", who, running[player])
			}
			running[player] = who
			begun[player] = append(begun[player], who)
		} else {
			running[player] = ""
		}
	}
	for player, order := range begun {
		sent := slices.DeleteFunc(slices.Clone(all), func(x *sending) bool { return x.player != player || !slices.Contains(order, x.who) })
		for i, x := range sent {
			if x.executed = true; order[i] != x.who {
				t.Errorf("player %s: %v were sent in another order", player, order)
				break
			}
		}
	}
	for _, x := range all {
		switch {
		case x.answers != 1:
			t.Errorf("%s has %d answers", x.who, x.answers)
		case x.executed && x.refused:
			t.Errorf("%s was refused and executed", x.who)
		case !x.executed && (x.code == rpc.OK || x.maybe):
			t.Errorf("%s was not executed, and its answer is %s, maybe %v", x.who, x.code, x.maybe)
		case x.executed && x.code == rpc.DeadlineExceeded && !x.maybe:
			t.Errorf("%s was executed, but its answer says that it was not", x.who)
		}
	}
}
