package gen

import (
	"context"
	"encoding/json"
	"flag"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/golden")

func load(t *testing.T, source Source) *Schema {
	t.Helper()
	s, err := Load(context.Background(), source)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func farm(t *testing.T) *Schema {
	return load(t, Source{Protos: []string{"testdata/api/farm.proto"}, Include: []string{"testdata/api"}, Server: []string{"CloseRequest"}})
}

func generate(t *testing.T, s *Schema, dir string, langs ...Lang) []Output {
	t.Helper()
	outputs, err := s.Generate(dir, langs...)
	if err != nil {
		t.Fatal(err)
	}
	return outputs
}

func write(t *testing.T, dir string, outputs []Output) (paths []string) {
	t.Helper()
	written, err := Write(dir, outputs)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range written {
		paths = append(paths, o.Path)
	}
	return paths
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFilesAreGeneratedAsTheyAlwaysWere(t *testing.T) {
	const golden = "testdata/golden"
	dir := t.TempDir()
	if *update {
		if err := os.RemoveAll(golden); err != nil {
			t.Fatal(err)
		}
		write(t, golden, generate(t, farm(t), dir, Langs...))
	}
	outputs := generate(t, farm(t), dir, Langs...)
	var want []string
	err := filepath.WalkDir(golden, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(golden, path)
			want = append(want, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, o := range outputs {
		have = append(have, o.Path)
		if diff := cmp.Diff(read(t, filepath.Join(golden, o.Path)), string(o.Content)); diff != "" {
			t.Errorf("%s (want -, have +; -update rewrites it):\n%s", o.Path, diff)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error("files", diff)
	}
}

func TestGeneratedCodeParses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, generate(t, farm(t), dir, Langs...))
	if _, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "farm_wind.go"), nil, parser.AllErrors); err != nil {
		t.Error(err)
	}
	for _, p := range []string{"handlers_client/farm.star", "handlers_server/farm.star"} {
		if err := starDefines(filepath.Join(dir, p), map[string]bool{}); err != nil {
			t.Error(err)
		}
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed, so the Python files are not checked")
	}
	const program = `
import farm_wind, farm_handlers, farm_server_handlers
assert farm_wind.PLANT_REQUEST == 3001 and farm_wind.NAMES[3001] == "PlantRequest" and farm_wind.IDS["PlantResponse"] == 3002
assert farm_wind.ANSWERS["WaveRequest"] is None and farm_wind.ANSWERS["LookRequest"] == "LookResponse"
assert '"no" with \\ and' in farm_handlers.Handler_PlantRequest.__doc__
try:
    farm_handlers.Handler_PlantRequest(None, {}).send(None)
    assert False, "a skeleton answered"
except NotImplementedError:
    pass
`
	c := exec.Command(python, "-B", "-c", program)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestGeneratedGoCompiles builds the generated code for the speak example's messages inside their package.
func TestGeneratedGoCompiles(t *testing.T) {
	speakpb, err := filepath.Abs("../examples/speak/speakpb")
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, Source{Protos: []string{filepath.Join(speakpb, "speak.proto")}, Server: []string{"AnnounceRequest"}})
	dir := t.TempDir()
	write(t, dir, generate(t, s, dir, Go))
	use := put(t, filepath.Join(dir, "use.go"), `package speakpb

import (
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

func use(c *client.RPC, ctx *service.Ctx) (role int32, err error) {
	answer, err := NewSpeakClient(c.Call).Role(ctx, &RoleRequest{})
	if err == nil {
		_, err = NewSpeakServices(rpc.Address{Type: "game"}).Announce(ctx, &AnnounceRequest{})
	}
	return answer.GetRoleId(), err
}
`)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(speakpb, "speak_wind.go"):         filepath.Join(dir, "speak_wind.go"),
		filepath.Join(speakpb, "speak_wind_use_gen.go"): use,
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("go", "vet", "-overlay", put(t, filepath.Join(dir, "overlay.json"), string(overlay)), ".")
	c.Dir = speakpb
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWhatIsWrittenIsNotStaleAndIsNotWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	all := generate(t, farm(t), dir, Langs...)
	stale, err := Stale(dir, all)
	if err != nil || len(stale) != len(all) {
		t.Fatalf("%d of %d files are stale in an empty folder: %v", len(stale), len(all), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Fatalf("Stale wrote %v", entries)
	}
	if paths := write(t, dir, all); len(paths) != len(all) {
		t.Fatalf("wrote %v", paths)
	}
	again := generate(t, farm(t), dir, Langs...)
	if stale, err := Stale(dir, again); err != nil || len(stale) != 0 {
		t.Errorf("stale after it was written: %v, %v", stale, err)
	}
	put(t, filepath.Join(dir, "farm_wind.go"), goMarker+"farm.proto. DO NOT EDIT.\n\npackage farmpb\n")
	if paths := write(t, dir, generate(t, farm(t), dir, Langs...)); !slices.Equal(paths, []string{"farm_wind.go"}) {
		t.Errorf("wrote %v", paths)
	}
}

func TestSkeletonsKeepWhatIsWritten(t *testing.T) {
	dir := t.TempDir()
	star := filepath.Join(dir, "handlers_client", "farm.star")
	mine := "# mine\ndef Handler_PlantRequest(client, request):\n    return PlantResponse(planted = True)"
	put(t, star, mine)
	put(t, filepath.Join(dir, "handlers_client", "other.star"), "def Handler_LookRequest(client, request):\n    pass\n")
	put(t, filepath.Join(dir, "handlers_server", "close.star"), "def Handler_CloseRequest(client, request):\n    pass\n")
	py := filepath.Join(dir, "farm_handlers.py")
	put(t, py, "class A:\n    def Handler_WaveRequest(self): pass\n\nasync def Handler_PlantRequest(client, request):\n    return {}\n")

	outputs := generate(t, farm(t), dir, Star, Python)
	write(t, dir, outputs)
	have := read(t, star)
	if !strings.HasPrefix(have, mine) || strings.Count(have, "def ") != 2 || !strings.Contains(have, "def Handler_WaveRequest(") {
		t.Errorf("the module is now:\n%s", have)
	}
	for _, o := range outputs {
		if o.Path == "handlers_server/farm.star" && !slices.Equal(o.Added, []string{"Handler_S_RegisterRequest", "Handler_S_Hello"}) {
			t.Errorf("%s gets %v", o.Path, o.Added)
		}
		if o.Path == "farm_handlers.py" && !slices.Equal(o.Added, []string{"Handler_LookRequest", "Handler_WaveRequest"}) {
			t.Errorf("%s gets %v", o.Path, o.Added)
		}
	}
}

func TestAModuleThatIsBrokenIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	star := put(t, filepath.Join(dir, "handlers_client", "farm.star"), "def f(:\n")
	_, err := farm(t).Generate(dir, Star)
	if err == nil || !strings.Contains(err.Error(), "farm.star:1:8: ") {
		t.Errorf("error %v", err)
	}
	if read(t, star) != "def f(:\n" {
		t.Error("the file was changed")
	}
}

func TestAFileThatSomebodyWroteIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	path := put(t, filepath.Join(dir, "farm_wind.py"), "# mine\n")
	_, err := Write(dir, generate(t, farm(t), dir, Python, Star))
	if err == nil || !strings.Contains(err.Error(), "farm_wind.py was not written by wind gen") {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 || read(t, path) != "# mine\n" {
		t.Error("Write wrote something despite the error")
	}
}

func TestGoCodeGoesWhereItsPackageIs(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "x.go"), "package other\n")
	_, err := farm(t).Generate(dir, Go)
	if err == nil || !strings.Contains(err.Error(), "belongs to package other, but farm.proto has go_package farmpb") {
		t.Errorf("error %v", err)
	}
}
