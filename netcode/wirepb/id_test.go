package wirepb

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

var update = flag.Bool("update", false, "rewrite testdata/numbers.golden")

// numbers lists everything in the schema that must never change, one per line:
// message ids, field numbers and types, enum values.
func numbers() []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	messages := File_wirepb_wire_proto.Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		add("%s has id %d", m.Name(), idOf(m))
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			kind := f.Kind().String()
			if f.Kind() == protoreflect.MessageKind {
				kind = string(f.Message().Name())
			}
			add("%s.%s is %d, %s %s", m.Name(), f.Name(), f.Number(), f.Cardinality(), kind)
		}
	}
	enums := File_wirepb_wire_proto.Enums()
	for i := range enums.Len() {
		for j := range enums.Get(i).Values().Len() {
			v := enums.Get(i).Values().Get(j)
			add("%s.%s is %d", enums.Get(i).Name(), v.Name(), v.Number())
		}
	}
	return lines
}

func TestNothingIsEverRenumbered(t *testing.T) {
	const path = "testdata/numbers.golden"
	have := numbers()
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(have, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n")
	for _, line := range want {
		if !slices.Contains(have, line) {
			t.Errorf("no longer true: %s", line)
		}
	}
	if !t.Failed() && len(have) != len(want) {
		t.Error("the schema has grown: run `go test ./netcode/wirepb -update` and commit testdata/numbers.golden")
	}
}

func TestEveryMessageHasItsOwnIDOfItsRange(t *testing.T) {
	seen := map[uint32]string{}
	for name, id := range IDs() {
		if !Reserved(id) {
			t.Errorf("%s has id %d, which is for games", name, id)
		}
		if ShardID(id) != (id < 2100) {
			t.Errorf("ShardID(%d) = %v", id, ShardID(id))
		}
		if other := seen[id]; other != "" {
			t.Errorf("%s and %s share %d", name, other, id)
		}
		seen[id] = name
		m, err := New(id)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := string(m.ProtoReflect().Descriptor().Name()); got != name || IDOf(m) != id {
			t.Errorf("New(%d) is %s with id %d, want %s", id, got, IDOf(m), name)
		}
	}
	if want := IDWait - IDHello + 1 + IDReplaced - IDFault + 1; len(seen) != want {
		t.Errorf("%d messages have an id, the constants name %d", len(seen), want)
	}
	if _, err := New(IDHeartbeat); err == nil {
		t.Error("New(101) made a message for a reserved id")
	}
}

func TestGamesMayTakeAllOtherIDs(t *testing.T) {
	for id, want := range map[uint32]bool{
		0: true, 1: false, 101: false, 1001: false, 1014: false, 2000: false, 2001: true, 2099: true, 2100: true, 2199: true, 2200: false,
		1<<31 - 1: false, 1 << 31: true, 1<<31 | 1001: true,
	} {
		if Reserved(id) != want || GameID(id) == want {
			t.Errorf("Reserved(%d) = %v", id, !want)
		}
	}
}

// The pages state the version for clients in other languages.
func TestThePagesStateTheProtocolsVersion(t *testing.T) {
	for path, patterns := range map[string][]string{
		"../PROTOCOL.md": {`(?m)^# The wire protocol, version (\d+)$`, `Hello\{protocol (\d+),`},
		"wire.proto":     {`uint32 protocol = 1; +// (\d+)`},
	} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range patterns {
			found := regexp.MustCompile(p).FindAllStringSubmatch(string(page), -1)
			if len(found) == 0 {
				t.Errorf("%s does not match %s", path, p)
			}
			for _, f := range found {
				if f[1] != fmt.Sprint(Protocol) {
					t.Errorf("%s says %q, the version is %d", path, f[0], Protocol)
				}
			}
		}
	}
}
