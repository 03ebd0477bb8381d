package persistence

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestASliceStandsAlone: for any span of ticks, the exported slice is sound and replays to the same worlds.
func TestASliceStandsAlone(t *testing.T) {
	ctx, game := context.Background(), drift(0)
	v := sail(t, 200)
	all, err := v.m.Snapshots().List(ctx)
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	for _, span := range [][2]uint64{{0, 0}, {0, 77}, {1, 1}, {60, 120}, {100, 101}, {150, 0}, {199, 200}, {200, 200}} {
		s, err := Slice(ctx, v.source(), span[0], span[1])
		if err != nil {
			t.Fatal(span, err)
		}
		path := filepath.Join(t.TempDir(), "slice.wind")
		if sum, err := Export(ctx, path, s); err != nil || sum.Info.Game != game.Name {
			t.Fatal(span, sum.Info, err)
		}
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(span, err)
		}
		report, err := Check(ctx, f.Source(), CheckOptions{Game: &game})
		if err != nil || report.Broken() || report.Unproven != nil {
			t.Errorf("%v: %v %+v", span, err, report)
		}
		to := span[1]
		if to == 0 {
			to = 200
		}
		r, w, err := replay(t, f.Source(), game, ReplayOptions{Verify: true})
		if err != nil || r.To < to || r.From > max(span[0], 1) || w.Checksum() != v.sums[r.To] {
			t.Errorf("%v: replayed %d to %d: %v", span, r.From, r.To, err)
		}
		if before := all[1].Tick; span[0] > before && r.From == 1 && span[0] > all[0].Tick {
			t.Errorf("%v: it begins at genesis, although there are earlier snapshots of ticks %d and %d", span, before, all[0].Tick)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Slice(ctx, v.source(), 0, 201); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "201: the last one is 200") {
		t.Error(err)
	}
	if _, err := Slice(ctx, v.source(), 201, 0); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "201: the last one is 200") {
		t.Error(err)
	}
	if err := v.m.Log().Purge(ctx, all[1].Seq); err != nil {
		t.Fatal(err)
	}
	for _, span := range [][2]uint64{{7, 0}, {0, 7}, {7, 160}} {
		want := fmt.Sprintf("tick 7: the first one is %d", all[1].Tick)
		if _, err := Slice(ctx, v.source(), span[0], span[1]); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v of a purged log: %v, want %q", span, err, want)
		}
	}
	s, err := Slice(ctx, v.source(), all[1].Tick+5, 0)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "purged.wind")
	if sum, err := Export(ctx, path, s); err != nil || sum.Info.Game != game.Name || sum.Info.Shard != "main" {
		t.Errorf("%+v, %v", sum.Info, err)
	}
}
