package session

import (
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

func startingRig(t *testing.T) *rig {
	w, err := ecs.New(hubGame, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t, newHub(Config{Starting: true}.withDefaults()), w}
	r.h.now = time.Unix(1000, 0)
	return r
}

func TestAClientWaitsForAShardThatStarts(t *testing.T) {
	r := startingRig(t)
	l := r.connect()
	r.h.now = r.h.now.Add(time.Second)
	r.h.expire()
	if err := r.h.own(r.w, 1); err != nil {
		t.Fatal(err)
	}
	r.tick(1 << 20)
	find[*wirepb.Welcome](r, l)
	r.h.disown("over") // a shard that was owned once is no longer starting
	if m := find[*wirepb.Bye](r, r.connect()); m.Reason != wirepb.Reason_REASON_NOT_OWNER {
		t.Errorf("%v", m)
	}
}

func TestAClientWaitsTwoSecondsAtMost(t *testing.T) {
	r := startingRig(t)
	l := r.connect()
	r.h.now = r.h.now.Add(startPatience + time.Millisecond)
	r.h.expire()
	if m := find[*wirepb.Bye](r, l); m.Reason != wirepb.Reason_REASON_NOT_OWNER {
		t.Errorf("%v", m)
	}
	if err := r.h.own(r.w, 1); err != nil {
		t.Fatal(err)
	}
	r.tick(1 << 20)
	if len(r.h.sessions) != 0 {
		t.Error("a disconnected client has a session")
	}
}
