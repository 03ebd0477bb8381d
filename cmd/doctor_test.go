package cmd

import (
	"os"
	"strings"
	"testing"

	"github.com/ferris1/wind/shard"
)

// TestEveryConditionIsExplained: an operator finds each kind in the README, with what to do.
func TestEveryConditionIsExplained(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range shard.ConditionKinds {
		if !strings.Contains(string(readme), "`"+string(kind)+"`") {
			t.Errorf("the README does not say what to do about %s", kind)
		}
		if shard.WayOut(kind, "main") == "" {
			t.Errorf("%s has no way out", kind)
		}
	}
}
