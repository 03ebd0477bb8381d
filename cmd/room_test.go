package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// changing are rooms whose changes come one at a time. When all have come, nobody watches any longer.
type changing struct {
	rpc.Rooms
	changes []rpc.Room
	over    context.CancelFunc
}

func (c *changing) Changes(_ context.Context, _ rpc.RoomFilter, after int64) ([]rpc.Room, int64, error) {
	if int(after) == len(c.changes) {
		c.over()
		return nil, after, nil
	}
	return c.changes[after : after+1], after + 1, nil
}

// TestAWatchTellsEachChangeOnce: each state of a room's life, also those that read the same in a line of text, and nothing twice.
func TestAWatchTellsEachChangeOnce(t *testing.T) {
	end := &rpc.RoomEnd{Tick: 60, Reason: "limit"}
	archived := &rpc.RoomEnd{Tick: 60, Reason: "limit", Archive: "/archives/r-1.wind"}
	life := []struct {
		room rpc.Room
		told bool
	}{
		{rpc.Room{State: "wanted"}, true},
		{rpc.Room{State: "running", Node: "anna"}, true},
		{rpc.Room{State: "running", Node: "anna", Occupancy: &rpc.Occupancy{Tick: 9}}, false},
		{rpc.Room{State: "running", Node: "bert"}, true},
		{rpc.Room{State: "wanted", Halted: true}, true},
		{rpc.Room{State: "wanted"}, true},
		{rpc.Room{State: "running", Node: "bert"}, true},
		{rpc.Room{State: "sealed", Node: "bert", End: end}, true},
		{rpc.Room{State: "sealed", End: end}, false},
		{rpc.Room{State: "archived", End: archived}, true},
		{rpc.Room{State: "gone", Node: "anna", End: archived}, true},
		{rpc.Room{State: "gone", End: archived}, false}, // its keeper leaves
	}
	var out, log, want strings.Builder
	ctx, over := context.WithCancel(t.Context())
	defer over()
	c := &changing{over: over}
	for i, l := range life {
		l.room.ID, l.room.Revision = "r-1", int64(i+1)
		c.changes = append(c.changes, l.room)
		if l.told {
			want.WriteString(l.room.State + " ")
		}
	}
	a := mygame(&out, &log)
	a.json = true
	if err := a.watchRooms(ctx, c, rpc.RoomFilter{}); err != nil {
		t.Fatal(err)
	}
	told := ""
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		_, state, _ := strings.Cut(line, `"state":"`)
		state, _, _ = strings.Cut(state, `"`)
		told += state + " "
	}
	if told != want.String() {
		t.Errorf("told %s, want %s", told, want.String())
	}
}

// dying answers for rooms like a node that dies while it is asked; another node answers later.
type dying struct {
	changing
	errors []error
}

func (d *dying) Changes(ctx context.Context, f rpc.RoomFilter, after int64) ([]rpc.Room, int64, error) {
	if len(d.errors) > 0 && d.errors[0] != nil {
		defer func() { d.errors = d.errors[1:] }()
		return nil, after, d.errors[0]
	}
	if len(d.errors) > 0 {
		d.errors = d.errors[1:]
	}
	return d.changing.Changes(ctx, f, after)
}

// TestAWatchOutlivesTheNodesThatItAsks: but it fails if nobody hosts rooms when it begins, or if its question is wrong.
func TestAWatchOutlivesTheNodesThatItAsks(t *testing.T) {
	died := &rpc.Error{Code: rpc.DeadlineExceeded, Text: "no answer from n1", Maybe: true}
	nobody, wrong := rpc.NotBegun(rpc.Unavailable, "no node"), rpc.Errorf(rpc.InvalidArgument, "wrong")
	for name, c := range map[string]struct {
		errors []error
		want   error
	}{
		"a node dies":             {[]error{nil, died, nobody, nobody}, nil},
		"the first one dies":      {[]error{died, nobody}, nil},
		"nobody hosts rooms":      {[]error{nobody}, nobody},
		"what is asked for fails": {[]error{nil, wrong}, wrong},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out, log strings.Builder
			ctx, over := context.WithCancel(t.Context())
			defer over()
			d := &dying{changing: changing{over: over, changes: []rpc.Room{{ID: "r-1", State: "wanted"}, {ID: "r-2", State: "wanted"}}}, errors: c.errors}
			a := mygame(&out, &log)
			a.log = slog.New(slog.NewTextHandler(&log, nil))
			if err := a.watchRooms(ctx, d, rpc.RoomFilter{}); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
			if c.want == nil && (!strings.Contains(out.String(), "room r-2") || strings.Count(log.String(), "the watch goes on") != 1) {
				t.Errorf("%s: it told %q and logged %q", name, &out, &log)
			}
		})
	}
}

// failing fails to create rooms, in one way after another, and then succeeds.
type failing struct {
	rpc.Rooms
	errors []error
	asked  int
}

func (f *failing) Create(context.Context, rpc.RoomRequest) (*rpc.Room, error) {
	if f.asked++; f.asked <= len(f.errors) {
		return nil, f.errors[f.asked-1]
	}
	return &rpc.Room{ID: "r-1"}, nil
}

// TestARoomIsAskedForUntilItsTimeIsOver: while no node answers; and with a key also after one that may have made it.
func TestARoomIsAskedForUntilItsTimeIsOver(t *testing.T) {
	nobody, stopping := rpc.NotBegun(rpc.Unavailable, "no node"), &rpc.Error{Code: rpc.Unavailable, Text: "stopping", Maybe: true}
	full := &rpc.Error{Code: rpc.ResourceExhausted, Text: "full", Maybe: true}
	for name, c := range map[string]struct {
		key   string
		fails []error
		asked int
		want  error
	}{
		"nobody answers for a while":       {"", []error{nobody, nobody}, 3, nil},
		"a node stops":                     {"", []error{nobody, stopping}, 2, stopping},
		"a node stops, but there is a key": {"k", []error{nobody, stopping}, 3, nil},
		"all are full":                     {"k", []error{nobody, full}, 2, full},
		"nobody ever answers":              {"k", []error{nobody, nobody, nobody, nobody, nobody, nobody, nobody, nobody}, 4, nobody},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*askAgain-time.Millisecond)
			defer cancel()
			f := &failing{errors: c.fails}
			if _, err := createRoom(ctx, f, rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Key: c.key}}); err != c.want || f.asked != c.asked {
				t.Errorf("%s: %v after %d requests, want %v after %d", name, err, f.asked, c.want, c.asked)
			}
		})
	}
}

// TestRemoveSelectsLogsThatWouldStay: of rooms that ended long enough ago. The nodes see to the others.
func TestRemoveSelectsLogsThatWouldStay(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	var all []rpc.Room
	for _, keep := range []string{"", "log", "archive", "none"} {
		for _, hours := range []time.Duration{1, 72, 100} {
			at := now.Add(-hours * time.Hour)
			all = append(all, rpc.Room{ID: fmt.Sprintf("%s-%d", keep, hours), State: "sealed", Spec: rpc.RoomSpec{Keep: keep}, End: &rpc.RoomEnd{At: at}})
		}
	}
	for want, q := range map[string]removal{
		"-72 -100 log-72 log-100":                        {endedBefore: 72 * time.Hour},
		"-1 -72 -100 log-1 log-72 log-100":               {},
		"-72 -100 log-72 log-100 archive-72 archive-100": {endedBefore: 72 * time.Hour, unarchived: true},
		"": {endedBefore: 1000 * time.Hour, unarchived: true},
	} {
		var ids []string
		for _, r := range q.selected(all, now) {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%+v selects %q, want %q", q, got, want)
		}
	}
}

// TestWhoIsInterruptedHearsNoBlame: it does not say that a server is down, nor that rooms do not run that may run.
func TestWhoIsInterruptedHearsNoBlame(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	f := &clusterFlags{cluster: "dev", nats: "nats://127.0.0.1:1", etcd: "http://127.0.0.1:1"}
	var out, log strings.Builder
	a := mygame(&out, &log)
	a.log = slog.New(slog.DiscardHandler)
	if _, err := f.connect(ctx, a); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("connect: %v", err)
	}
	canceled := rpc.ErrorOf(context.Canceled)
	if err := uncreated(ctx, canceled, 4, 500); !strings.Contains(err.Error(), "interrupted after 4 of 500 answers") {
		t.Errorf("create: %v", err)
	}
	if err := uncreated(t.Context(), canceled, 0, 1); !errors.Is(err, canceled) {
		t.Errorf("nobody interrupted it: %v", err)
	}
}
