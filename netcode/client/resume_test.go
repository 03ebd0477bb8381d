package client

import (
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

type steer struct{ X float64 }

var steering = ecs.Game{Name: "steering", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Handle[steer](w, "steer", func(*ecs.Tick, *ecs.Cmd[steer]) {}, ecs.Sampled)
}}

func welcomed(t *testing.T) (*session, *wirepb.Welcome) {
	t.Helper()
	schema, err := ecs.SchemaOf(steering, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(&Client{ready: make(chan struct{})})
	m := &wirepb.Welcome{Session: 7, Token: make([]byte, 16), Tick: 1000, TickRate: 30, Schema: schema.JSON(), SchemaHash: schema.Hash(), Game: "steering"}
	if err := s.welcome(m); err != nil {
		t.Fatal(err)
	}
	return s, m
}

// TestAResumedClientSamplesForTheFirstTickThatCanUseIt: the clock kept running while the node was down, but the successor
// starts where the log ends.
func TestAResumedClientSamplesForTheFirstTickThatCanUseIt(t *testing.T) {
	s, m := welcomed(t)
	first := s.next
	s.next += 90 // three seconds without a node
	m.Resumed, m.Tick = true, 1001
	if err := s.welcome(m); err != nil {
		t.Fatal(err)
	}
	if s.next != first+1 {
		t.Errorf("the next input is for tick %d of a log that ends at %d", s.next, m.Tick)
	}
}

// TestTheFirstInputsAllowForTheWay: an input is late if its tick is over when it arrives, so the clock starts ahead.
func TestTheFirstInputsAllowForTheWay(t *testing.T) {
	s, m := welcomed(t)
	s.c.counters.rtt.Store(uint64(200 * time.Millisecond))
	m.Resumed = true
	if err := s.welcome(m); err != nil {
		t.Fatal(err)
	}
	if ahead := s.next - m.Tick; ahead < 7 || ahead > 10 {
		t.Errorf("with a round trip of 6 ticks the first input is %d ticks ahead", ahead)
	}
	s.c.counters.rtt.Store(uint64(time.Hour)) // a ping that waited for a failover
	if err := s.welcome(m); err != nil {
		t.Fatal(err)
	}
	if ahead := s.next - m.Tick; ahead > maxLead+lead+1 {
		t.Errorf("the first input is %d ticks ahead", ahead)
	}
}
