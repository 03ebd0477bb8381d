package fleet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferris1/wind/netcode/client"
)

func TestTraceIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen.jsonl")
	trace, err := CreateTrace(path)
	if err != nil {
		t.Fatal(err)
	}
	trace.saw(3, client.Update{Tick: 812, Checksum: 0xABC, Epoch: 2, Durable: 815})
	trace.saw(4, client.Update{Tick: 813, Checksum: ^uint64(0), Epoch: 2, Durable: 816})
	if err := trace.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Sight{{3, 812, "0000000000000abc", 2, 815}, {4, 813, "ffffffffffffffff", 2, 816}}
	if got, err := read(string(b)); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v: %s", err, cmp.Diff(got, want))
	}
	if got, err := read(string(b[:len(b)-9])); err != nil || len(got) != 1 {
		t.Errorf("a torn last line: %v, %v", got, err)
	}
	if _, err := read("nonsense\n" + string(b)); err == nil {
		t.Error("a malformed line before another was ignored")
	}
	stop := errors.New("enough")
	if err := ReadTrace(strings.NewReader(string(b)), func(Sight) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the callback's error became %v", err)
	}
}

func read(text string) (all []Sight, err error) {
	err = ReadTrace(strings.NewReader(text), func(s Sight) error { all = append(all, s); return nil })
	return all, err
}
