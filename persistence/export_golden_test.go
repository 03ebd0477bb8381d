package persistence

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The golden file must remain readable forever; the compressor's output for the
// same records may change.
func TestExportFileOfVersion1IsRead(t *testing.T) {
	ctx := context.Background()
	s := chronicle(t)
	s.snapshot()
	if *update {
		path := filepath.Join(t.TempDir(), "x.wind")
		if _, err := Export(ctx, path, s.source()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "export", b)
	}
	b := readGolden(t, "export")
	f, err := ReadFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	report, err := Check(ctx, f.Source(), CheckOptions{})
	if err != nil || len(report.Findings) > 0 || report.Records != 13 || report.Deltas != 12 || report.Snapshots != 1 {
		t.Fatalf("%v %+v", err, report)
	}
	chain, err := prove(f.Log(), testLineage)
	if err != nil || chain.Hash() != s.chain.Hash() {
		t.Errorf("another history: %v", err)
	}
}

// The envelopes that FORMAT.md shows byte by byte are the golden ones.
func TestTheEnvelopesInFormatAreTheGoldenOnes(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"record-ticks", "deltas"} {
		_, block, found := strings.Cut(string(text), "<!-- "+name+" -->\n```\n")
		block, _, _ = strings.Cut(block, "```")
		if !found {
			t.Fatalf("FORMAT.md has no block %s", name)
		}
		have := ""
		for _, line := range strings.Split(block, "\n") {
			bytes, _, _ := strings.Cut(line, "|")
			have += regexp.MustCompile(`[^0-9a-f]`).ReplaceAllString(bytes, "")
		}
		if want := strings.ReplaceAll(hexLines(readGolden(t, name)), "\n", ""); have != want {
			t.Errorf("FORMAT.md shows\n%s\nthe golden bytes are\n%s", have, want)
		}
	}
}
