package service_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/service"
)

// TestAHandlerThatHoldsTheThreadIsTold checks the reports during the stall and at its end.
func TestAHandlerThatHoldsTheThreadIsTold(t *testing.T) {
	log := &captured{}
	h := &held{gate: make(chan struct{}), holds: make(chan struct{})}
	s := start(t, service.Config{Client: []any{h}, Logger: log.logger()})
	first := send(s, from("ann", wrapperspb.String("holds")))
	<-h.holds
	soon(t, "the stall is known", func() bool { return s.Stalled() != nil })
	if x := s.Stalled(); x.Message != "StringValue" || x.Player != "ann" || s.Stats().Stalled < 1 {
		t.Errorf("%+v, %+v", x, s.Stats())
	}
	soon(t, "it is logged", func() bool { return strings.Contains(log.String(), "a handler hangs") })
	close(h.gate)
	<-first.answer
	soon(t, "it is over", func() bool { return s.Stalled() == nil && s.Stats().Stalled == 0 })
	soon(t, "that is logged", func() bool { return strings.Contains(log.String(), "the thread is free again") })
}

// TestAServiceThatCannotEndNamesTheHandler: the operator who stops it learns which one holds it up.
func TestAServiceThatCannotEndNamesTheHandler(t *testing.T) {
	h := &held{gate: make(chan struct{}), holds: make(chan struct{})}
	s := start(t, service.Config{Client: []any{h}})
	first := send(s, from("ann", wrapperspb.String("holds")))
	<-h.holds
	soon(t, "the stall is known", func() bool { return s.Stalled() != nil })
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Close(short); err == nil || !strings.Contains(err.Error(), "service game/game-1 does not end: the handler of StringValue has held the thread") {
		t.Errorf("it closes with %v", err)
	}
	close(h.gate)
	<-first.answer
}

// TestABusyThreadIsNoStall also checks a thread that waits for others.
func TestABusyThreadIsNoStall(t *testing.T) {
	fake(t, func(t *testing.T) {
		s := start(t, service.Config{Client: []any{&patient{}}})
		x := send(s, within(time.Hour, from("ann", wrapperspb.String(""))))
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if s.Stalled() != nil {
				t.Fatalf("%v", s.Stalled())
			}
		}
		<-x.answer
	})
}

// soon waits until ok returns true.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}
