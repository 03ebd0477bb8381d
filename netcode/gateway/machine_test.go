package gateway

import (
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// bench has a machine whose requests the test answers by hand.
type bench struct {
	t *testing.T
	m *machine
}

func newBench(t *testing.T) *bench {
	return &bench{t, newMachine("gateway-1/a-1", simLimits, true, 0, simLimits.RecordLife/3, &counters{})}
}

// step steps the machine and returns its actions.
func (b *bench) step(e event) []action {
	b.m.actions = nil
	b.m.step(&e)
	return b.m.actions
}

// want returns the action of a kind.
func (b *bench) want(all []action, kind actionKind) action {
	b.t.Helper()
	for _, a := range all {
		if a.kind == kind {
			return a
		}
	}
	b.t.Fatalf("no action %d in %+v", kind, all)
	return action{}
}

func (b *bench) none(all []action, kind actionKind) {
	b.t.Helper()
	for _, a := range all {
		if a.kind == kind {
			b.t.Fatalf("an action %d that is not wanted: %+v", kind, a)
		}
	}
}

// bid takes a login to the write that makes the session the player's, and returns that write.
func (b *bench) bid(player string) action {
	b.t.Helper()
	r := &request{route: Route{Type: "game", Method: rpc.Method{Name: "PlayerLoginRequest", Login: true}}, deadline: time.Minute}
	b.want(b.step(event{kind: eventRequest, r: r}), actIdentify)
	b.want(b.step(event{kind: eventIdentified, r: r, player: player}), actSubscribe)
	read := b.want(b.step(event{kind: eventSubscribed, player: player}), actRead)
	find := b.want(b.step(event{kind: eventRead, op: read.op, revision: 4, record: Record{Session: "gateway-2/b-1", At: map[string]string{"game": "game-1"}}}), actFind)
	b.want(b.step(event{kind: eventFound, op: find.op, found: found{alive: true}}), actSend)
	w := b.want(b.step(event{kind: eventAnswer, r: r, answer: rpc.Response{Message: "PlayerLoginResponse"}}), actWrite)
	if w.revision != 4 || w.record.Session != b.m.id || w.record.At["game"] != "game-1" {
		b.t.Fatalf("the login is recorded as %+v over revision %d", w.record, w.revision)
	}
	return w
}

func TestTheStoresOrderDecidesWhoIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		revision uint64 // of the other session's write; ours is 5
		replaced bool
	}{"an older one": {3, false}, "a newer one": {6, true}} {
		for _, before := range []bool{true, false} {
			b := newBench(t)
			w := b.bid("ann")
			other := event{kind: eventReplaced, player: "ann", session: "gateway-2/b-7", revision: c.revision}
			if before { // the announcement overtakes the store's answer
				b.none(b.step(other), actClose)
			}
			done := b.step(event{kind: eventWritten, op: w.op, revision: 5})
			b.want(done, actAnnounce)
			b.want(done, actReply)
			if !before {
				done = b.step(other)
			}
			if c.replaced {
				b.want(done, actClose)
			} else {
				b.none(done, actClose)
			}
			t.Logf("%s, announced before the store's answer: %v", name, before)
		}
	}
}

func TestAReconnectHasTheRecordLookedAt(t *testing.T) {
	for _, before := range []bool{true, false} {
		b := newBench(t)
		w := b.bid("ann")
		var done []action
		if before { // an announcement may be lost even if the store's answer comes
			b.none(b.step(event{kind: eventReconnected}), actWrite)
			done = b.step(event{kind: eventWritten, op: w.op, revision: 5})
		} else {
			b.step(event{kind: eventWritten, op: w.op, revision: 5})
			done = b.step(event{kind: eventReconnected})
		}
		again := b.want(done, actWrite)
		if again.revision != 5 || again.record.Session != b.m.id {
			t.Fatalf("the record is looked after with %+v over revision %d", again.record, again.revision)
		}
		read := b.want(b.step(event{kind: eventWritten, op: again.op}), actRead)
		end := b.want(b.step(event{kind: eventRead, op: read.op, revision: 6, record: Record{Session: "gateway-2/b-7"}}), actClose)
		if end.reason != closeReplaced {
			t.Errorf("the session ends for reason %d", end.reason)
		}
		end2 := b.step(event{kind: eventClosed})
		b.none(end2, actWrite) // the record belongs to the other session
		b.want(end2, actEnd)
	}
}

func TestAClockThatStepsBackChangesNothing(t *testing.T) {
	b := newBench(t)
	w := b.bid("ann")
	b.step(event{kind: eventWritten, op: w.op, revision: 5, now: time.Hour / 2})
	b.want(b.step(event{kind: eventReplaced, player: "ann", session: "gateway-2/b-7", revision: 6, now: time.Second}), actClose)
	if b.m.now != time.Hour/2 {
		t.Errorf("the machine's clock says %v", b.m.now)
	}
}

func TestALoginWhoseRecordIsInDoubtIsReadAgain(t *testing.T) {
	b := newBench(t)
	w := b.bid("ann")
	read := b.want(b.step(event{kind: eventWritten, op: w.op, failed: true}), actRead)
	again := b.want(b.step(event{kind: eventRead, op: read.op, revision: 5, record: w.record}), actWrite)
	done := b.step(event{kind: eventWritten, op: again.op, revision: 6})
	b.want(done, actReply)
	if a := b.want(done, actAnnounce); a.revision != 6 {
		t.Errorf("announced with revision %d", a.revision)
	}
}

// A login of a player that has left asks the directory, which knows whether the player's instance has become one of the
// fullest. Before, only the player's own instance was asked whether it is full: after a scale-out, all came back to it.
func TestALoginOfAPlayerThatLeftIsPlacedByTheDirectory(t *testing.T) {
	for name, c := range map[string]struct {
		record Record
		pick   string // "": the directory may not be asked
		want   string
	}{
		"left, sent elsewhere": {Record{Session: "gateway-2/b-1", Left: true, At: map[string]string{"game": "game-1"}}, "game-2", "game-2"},
		"left, sent home":      {Record{Session: "gateway-2/b-1", Left: true, At: map[string]string{"game": "game-1"}}, "game-1", "game-1"},
		"plays elsewhere":      {Record{Session: "gateway-2/b-1", At: map[string]string{"game": "game-1"}}, "", "game-1"},
		"logs in elsewhere":    {Record{At: map[string]string{"game": "game-1"}}, "", "game-1"},
	} {
		b := newBench(t)
		r := &request{route: Route{Type: "game", Method: rpc.Method{Name: "PlayerLoginRequest", Login: true}}, deadline: time.Minute}
		b.want(b.step(event{kind: eventRequest, r: r}), actIdentify)
		b.want(b.step(event{kind: eventIdentified, r: r, player: "ann"}), actSubscribe)
		read := b.want(b.step(event{kind: eventSubscribed, player: "ann"}), actRead)
		find := b.want(b.step(event{kind: eventRead, op: read.op, revision: 4, record: c.record}), actFind)
		done := b.step(event{kind: eventFound, op: find.op, found: found{alive: true}})
		if c.pick != "" {
			pick := b.want(done, actFind)
			if !pick.picks || pick.instance != "game-1" || pick.key != "ann" {
				t.Fatalf("%s: the directory is asked %+v", name, pick)
			}
			done = b.step(event{kind: eventFound, op: pick.op, found: found{alive: true, picked: true, other: c.pick}})
		}
		if c.want != "game-1" {
			w := b.want(done, actWrite)
			done = b.step(event{kind: eventWritten, op: w.op, revision: 5})
		}
		if s := b.want(done, actSend); s.instance != c.want {
			t.Errorf("%s: the login goes to %s, want %s", name, s.instance, c.want)
		}
	}
}
