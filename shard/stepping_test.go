package shard

import (
	"strings"
	"testing"
	"time"
)

// TestAStepThatDoesNotEndIsTold: other goroutines see a hung step while it lasts.
func TestAStepThatDoesNotEndIsTold(t *testing.T) {
	var s stepping
	now := time.Now()
	if _, ok := s.condition("main", now.Add(time.Hour)); ok {
		t.Error("no step has begun")
	}
	s.begin(7)
	if _, ok := s.condition("main", now.Add(time.Second)); ok {
		t.Error("a second is no hang")
	}
	c, ok := s.condition("main", now.Add(5*time.Second))
	if !ok || c.Kind != Hung || !c.Stops || Healthy([]Condition{c}) || !strings.HasPrefix(c.Text, "the step of tick 7 of shard main has run for ") {
		t.Errorf("%+v, %v", c, ok)
	}
	s.end()
	if _, ok := s.condition("main", now.Add(time.Hour)); ok {
		t.Error("the step has ended")
	}
}
