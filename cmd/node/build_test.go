package node

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestBuildIDNamesTheCodeThatRuns: the id is a version or a commit if that identifies the code, otherwise the content
// too.
func TestBuildIDNamesTheCodeThatRuns(t *testing.T) {
	setting := func(kv ...string) (all []debug.BuildSetting) {
		for i := 0; i < len(kv); i += 2 {
			all = append(all, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return all
	}
	const revision = "0123456789abcdef0123456789abcdef01234567"
	for _, c := range []struct {
		version string
		vcs     []debug.BuildSetting
		want    string
	}{
		{"v1.2.3", nil, "v1.2.3"},
		{"(devel)", setting("vcs.revision", revision, "vcs.modified", "false"), "0123456789ab"},
		{"(devel)", setting("vcs.revision", revision, "vcs.modified", "true"), "0123456789ab-dirty-HASH"},
		{"v0.0.0-20261130081700-0123456789ab+dirty", setting("vcs.revision", revision, "vcs.modified", "true"), "v0.0.0-20261130081700-0123456789ab+dirty-HASH"},
		{"(devel)", nil, "content-HASH"},
		{"", nil, "content-HASH"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.version}, Settings: c.vcs}
		if got := buildID(info, func() string { return "HASH" }); got != c.want {
			t.Errorf("version %q, %v: %s, want %s", c.version, c.vcs, got, c.want)
		}
	}
}

// TestContentOfAFileFollowsItsBytes: it depends on nothing else, neither name nor time.
func TestContentOfAFileFollowsItsBytes(t *testing.T) {
	of := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		hash, err := contentOf(path)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	if a, b := of("a", "code"), of("b", "code"); a != b || a == of("a", "c0de") {
		t.Errorf("hashes %s and %s", a, b)
	}
	game := ecs.Game{Name: "g", TickRate: 30, Setup: func(*ecs.World) {}}
	if a, b := ThisBuild(game), ThisBuild(game); a != b || ownContent() == "unknown" {
		t.Errorf("builds %+v and %+v of content %s", a, b, ownContent())
	}
}
