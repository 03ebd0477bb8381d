package arena

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/cmd/examples/arena/lobbypb"
)

// TestThePageShowsRealMessages: each message on the page is one of the lobby's, with fields that it has, and the rules in
// its text are those of the scripts.
func TestThePageShowsRealMessages(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	page, shown := string(b), 0
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for line := range strings.SplitSeq(strings.TrimSpace(block[1]), "\n") {
			var of map[string]json.RawMessage
			if err := json.Unmarshal([]byte(strings.ReplaceAll(line, "…", "")), &of); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if of["players"] != nil {
				var r arenaResult
				if err := json.Unmarshal([]byte(line), &r); err != nil || len(r.Players) != MaxPlaces || len(r.Kills) != MaxPlaces || len(r.Deaths) != MaxPlaces {
					t.Errorf("%s: %+v, %v", line, r, err)
				}
				continue
			}
			for name, fields := range of {
				d := lobbypb.File_lobbypb_lobby_proto.Messages().ByName(protoreflect.Name(name))
				if d == nil {
					t.Errorf("the lobby has no message %s", name)
					continue
				}
				if err := protojson.Unmarshal(fields, dynamicpb.NewMessage(d)); err != nil {
					t.Errorf("%s: %v", line, err)
				}
				shown++
			}
		}
	}
	if shown < 8 {
		t.Errorf("the page shows %d messages", shown)
	}
	rules, err := os.ReadFile("scripts/lobby/lib/rules.star")
	if err != nil {
		t.Fatal(err)
	}
	for rule, sentence := range map[string]string{
		"FIRST_RATING": "begins with %s.", "STAKE": "stake of %s points", "FIRST_GAP": "%s points at\nfirst", "WIDENING": "%s more with each second",
		"PATIENCE": "after %s s a smaller one", "LONGEST": "longer than %s s", "MATCH": "for %s s",
	} {
		m := regexp.MustCompile(`(?m)^` + rule + ` = (\d+)`).FindSubmatch(rules)
		if m == nil || !strings.Contains(page, fmt.Sprintf(sentence, m[1])) {
			t.Errorf("the page does not say "+sentence+" (%s)", m[1], rule)
		}
	}
}
