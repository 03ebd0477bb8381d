package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestPlural(t *testing.T) {
	for _, c := range []struct {
		n          int
		noun, want string
	}{{0, "record", "0 records"}, {1, "record", "1 record"}, {2, "record", "2 records"}, {1, "entity", "1 entity"}, {3, "entity", "3 entities"}, {1, "match", "1 match"}, {2, "match", "2 matches"}, {4, "epoch", "4 epochs"}} {
		if got := plural(c.n, c.noun); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.n, c.noun, got, c.want)
		}
	}
}

// counts matches a format that would print "1 records".
var counts = regexp.MustCompile(`%d (allocations|bots|clients|deltas|drops|entities|epochs|faults|findings|gaps|inputs|matches|messages|modules|players|records|requests|rounds|sessions|snapshots|ticks)\b`)

// TestCountsArePrintedWithPlural looks for formats of counts in the verbs' sources.
func TestCountsArePrintedWithPlural(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range counts.FindAllString(string(source), -1) {
			t.Errorf("%s: %q: print it with plural", file, found)
		}
	}
}
