package arena

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/cmd/examples/arena/lobbypb"
	"github.com/ferris1/wind/cmd/examples/arena/scripts"
)

// TestThePageShowsRealMessages: each message on the page is one of the lobby's, with fields that it has, the ratings change
// as the result says, all scripts are listed, and the rules in its text are theirs.
func TestThePageShowsRealMessages(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	page, shown := string(b), 0
	var result arenaResult
	told := &lobbypb.MatchResult{}
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for line := range strings.SplitSeq(strings.TrimSpace(block[1]), "\n") {
			var of map[string]json.RawMessage
			if err := json.Unmarshal([]byte(strings.ReplaceAll(line, "…", "")), &of); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if of["players"] != nil {
				if err := json.Unmarshal([]byte(line), &result); err != nil || len(result.Players) != MaxPlaces || len(result.Kills) != MaxPlaces || len(result.Deaths) != MaxPlaces {
					t.Errorf("%s: %+v, %v", line, result, err)
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
				if shown++; name == "MatchResult" {
					_ = protojson.Unmarshal(fields, told)
				}
			}
		}
	}
	if shown < 8 {
		t.Errorf("the page shows %d messages", shown)
	}
	before, got, want := map[string]int{}, map[string]int{}, map[string]int{}
	for _, p := range told.Places {
		before[p.Player], got[p.Player] = 1000, int(p.Change)
		i := slices.Index(result.Players, p.Player)
		if i < 0 || result.Kills[i] != int(p.Kills) || result.Deaths[i] != int(p.Deaths) {
			t.Errorf("the place %v is not that of the result %+v", p, result)
		}
	}
	lobbyFunctions(t).call(t, &want, "changes", before, result)
	if len(got) < 2 || !maps.Equal(got, want) || told.Rating != int64(1000+want[result.Players[0]]) {
		t.Errorf("the page has %v, and the result %+v changes the ratings by %v", told, result, want)
	}
	if err := fs.WalkDir(scripts.FS(), scripts.Lobby, func(path string, d fs.DirEntry, err error) error {
		if file := strings.TrimPrefix(path, scripts.Lobby+"/"); err == nil && !d.IsDir() && !strings.Contains(page, "| `"+file+"` |") {
			t.Errorf("the page's list of the scripts lacks %s", file)
		}
		return err
	}); err != nil {
		t.Error(err)
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
