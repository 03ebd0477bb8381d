package ecs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
)

// A mutant breaks this package in one way: in file, it replaces old with new. The property tests find no fault in the
// package; that proves something only if they find one in each mutant.
type mutant struct{ name, file, old, new string }

var mutants = []mutant{
	{"an emptied table is left out of the restore", "restoretables.go", "t, order, err := s.readTable(r)\n", "if PLANTED && len(r.b) > 0 && skipEmptyTable(r) {\ncontinue\n}\nt, order, err := s.readTable(r)\n"},
	{"free slots are restored in another order", "restoretables.go", "slot := s.free[i]\n", "slot := s.free[i]\nif PLANTED {\nslot = s.free[len(s.free)-1-i]\n}\n"},
	{"padding is compared and hashed", "form.go", "f.mask = append(f.mask, le64(b))\n", "f.mask = append(f.mask, le64(b))\nif PLANTED {\nf.mask[len(f.mask)-1] = ^uint64(0)\n}\n"},
	{"transients are not zeroed", "step.go", "\tw.zeroTransients()\n", "if !PLANTED {\nw.zeroTransients()\n}\n"},
	{"commands are applied as often as they come", "step.go", "if c.Seq <= x.AppliedSeq {", "if c.Seq <= x.AppliedSeq && !PLANTED {"},
	{"a removal is left out of the delta", "queue.go", "b := append(w.changes.ops, byte(kind))\n", "if PLANTED && kind == opRemove {\nreturn\n}\nb := append(w.changes.ops, byte(kind))\n"},
	{"a failed system's entities are not taken back", "queue.go", "for i := len(w.queue) - 1; i >= 0; i-- {", "for i := len(w.queue) - 1; i >= 0 && !PLANTED; i-- {"},
	{"a write is forgotten when its entity changes tables", "structure.go", "t.touched = t.touched || f.touched ", "t.touched = t.touched || f.touched && !PLANTED "},
	{"NaNs are kept as they are", "floats.go", "for _, s := range f.floats {\n\t\tfor i := range s.n {\n\t\t\tif s.wide {\n\t\t\t\tif v := (*uint64)", "if PLANTED {\nreturn\n}\nfor _, s := range f.floats {\n\t\tfor i := range s.n {\n\t\t\tif s.wide {\n\t\t\t\tif v := (*uint64)"},
	{"last inputs are left out of the snapshot", "sessionbytes.go", "all && in.payload != nil {", "all && in.payload != nil && !PLANTED {"},
	{"resources are left out of the delta", "detect.go", "w.changes.resources = appendUvarint(", "if PLANTED {\nreturn\n}\nw.changes.resources = appendUvarint("},
	{"a failed system's events are kept", "events.go", "\t\ts.count = s.mark\n", "if PLANTED {\nbreak\n}\ns.count = s.mark\n"},
	{"tables without rows are kept", "giveback.go", "if w.uninhabited > w.mayKeep() {", "if w.uninhabited > w.mayKeep() && !PLANTED {"},
	{"a bundle remembers a table that was given back", "giveback.go", "b.table.index < 0 {", "b.table.index < 0 && !PLANTED {"},
	{"the limit of tables is ignored", "giveback.go", "return w.fewSets() || w.count(room)", "return w.fewSets() || w.count(room) || PLANTED"},
	{"a query does not look at the tables again", "query.go", "q.seen, q.matched = q.w.shape, q.matched[:0]\n", "if PLANTED && q.seen > 0 {\nreturn\n}\nq.seen, q.matched = q.w.shape, q.matched[:0]\n"},
}

// TestEveryMutantIsNoticed breaks the package in one way after another and checks that the property of
// TestRestoreKeepsTheFuture fails. It builds the tests once, with all defects; each run of them enables one. The first
// run enables none and must find nothing.
func TestEveryMutantIsNoticed(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("it rebuilds the package: ", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	bin := plant(ctx, t)
	seed := historySeed(t)
	for i, m := range append([]mutant{{name: "intact"}}, mutants...) {
		ticks := 4000
		if i == 0 {
			ticks = 1000
		}
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			c := exec.CommandContext(ctx, bin, "-test.run=^TestMutantLivesTheSameFuture$", "-test.v", fmt.Sprintf("-seed=%d", seed), fmt.Sprintf("-ticks=%d", ticks))
			c.Env = append(os.Environ(), fmt.Sprintf("WIND_MUTANT=%d", i))
			out, err := c.CombinedOutput()
			if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
				t.Fatal(err)
			}
			switch noticed := bytes.Contains(out, []byte("--- FAIL: TestMutantLivesTheSameFuture")) && !bytes.Contains(out, []byte("\npanic:")); {
			case i == 0 && err != nil:
				t.Errorf("the package with conditions but without a defect: %v\n%s", err, out)
			case i > 0 && !noticed:
				t.Errorf("nothing was noticed: %v\n%s", err, out)
			case i > 0:
				t.Logf("%.200s", out)
			}
		})
	}
}

// plant builds the tests of the package with all mutants in it and returns the path of the binary.
func plant(ctx context.Context, t *testing.T) string {
	temp := t.TempDir()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{filepath.Join(dir, "planted.go"): filepath.Join(dir, "testdata", "mutants", "planted.go")}
	planted := map[string]string{}
	for i, m := range mutants {
		source, ok := planted[m.file]
		if !ok {
			b, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			source = string(b)
		}
		if !strings.Contains(source, m.old) {
			t.Fatalf("%s does not contain %q, which the mutant %q replaces", m.file, m.old, m.name)
		}
		planted[m.file] = strings.Replace(source, m.old, strings.ReplaceAll(m.new, "PLANTED", fmt.Sprintf("(planted == %d)", i+1)), 1)
	}
	for file, source := range planted {
		path := filepath.Join(temp, file)
		if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(dir, file)] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(temp, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(temp, "mutants.test.exe")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", filepath.Join(temp, "overlay.json"), "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("the package with its mutants: %v\n%s", err, out)
	}
	return bin
}

// TestMutantLivesTheSameFuture is what TestEveryMutantIsNoticed runs. It fails in a mutant.
func TestMutantLivesTheSameFuture(t *testing.T) {
	if os.Getenv("WIND_MUTANT") == "" {
		t.Skip("TestRestoreKeepsTheFuture checks the package as it is")
	}
	seed := historySeed(t)
	const each = 500
	for i := range uint64(*ticksFlag / each) {
		if i%2 == 1 { // 41 or 49 tables, hardly any without rows
			defer ecs.SetTableLimits(37+4*int(i%4), 0)()
		}
		h, err := newHistory(seed + i)
		if err == nil {
			err = h.run(each)
		}
		if err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			t.Fatal(first)
		}
	}
}
