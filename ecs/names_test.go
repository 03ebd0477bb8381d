package ecs

import (
	"strings"
	"testing"
)

func TestNamesAreOfSmallLettersDigitsAndDashes(t *testing.T) {
	for _, good := range []string{"a", "main-2", "0", "-", strings.Repeat("x", MaxName)} {
		if err := ValidName(good, MaxName); err != nil {
			t.Error(err)
		}
	}
	for bad, why := range map[string]string{
		"": "0 bytes", strings.Repeat("x", MaxName+1): "1 to 40", "Main": "only a-z", "a b": "only a-z", "a_b": "only a-z", "a.b": "only a-z", "ä": "only a-z", "a\n": "only a-z",
	} {
		if err := ValidName(bad, MaxName); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", bad, err, why)
		}
	}
}
