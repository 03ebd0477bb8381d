package persistence

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"
)

// exhibit is an export of a voyage in small chunks, and where its parts are.
type exhibit struct {
	t     testing.TB
	v     *voyage
	bytes []byte
	file  *File
}

// exhibited exports a source, whose chain it does not prove, so that soundly written files of unsound histories exist too.
func exhibited(t testing.TB, v *voyage, src Source) *exhibit {
	t.Helper()
	ctx := context.Background()
	var out bytes.Buffer
	w, err := NewFileWriter(&out, FileInfo{Lineage: testLineage, Cluster: "dev", Shard: "main", Game: "drift", TickRate: 30})
	if err != nil {
		t.Fatal(err)
	}
	w.target = 20 << 10
	last, _ := src.Log.Last(ctx)
	for m, err := range src.Log.Read(ctx, 1, last) {
		if err = cmpErr(err, func() error { return w.Message(m) }); err != nil {
			t.Fatal(err)
		}
	}
	sum := Exported{Last: 1 << 40, LastTick: 1 << 40}
	if src.Deltas != nil {
		err = exportDeltas(ctx, w, src, &sum)
	}
	if err == nil && src.Snapshots != nil {
		err = exportSnapshots(ctx, w, src, &sum)
	}
	if err = cmpErr(err, w.Close); err != nil {
		t.Fatal(err)
	}
	b := out.Bytes()
	f, err := ReadFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return &exhibit{t: t, v: v, bytes: b, file: f}
}

// cmpErr returns err, or what next returns.
func cmpErr(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// flip alters a byte in the payload of a chunk.
func (x *exhibit) flip(kind chunkKind, n int) {
	c := x.file.chunks[kind][n]
	x.bytes[c.offset+chunkBytes+int64(c.stored)/2] ^= 1
}

// trailer returns the trailer's bytes.
func (x *exhibit) trailer() []byte { return x.bytes[len(x.bytes)-trailerBytes:] }

// fileDamages are damages to an export's bytes.
var fileDamages = []struct {
	name string
	harm func(*exhibit)
}{
	{"nothing", func(*exhibit) {}},
	{"an empty file", func(x *exhibit) { x.bytes = nil }},
	{"a file of zeros", func(x *exhibit) { clear(x.bytes) }},
	{"another file", func(x *exhibit) { x.bytes = []byte("#!/bin/sh\necho this is a script, not an export\n") }},
	{"a byte of the magic", func(x *exhibit) { x.bytes[0] ^= 1 }},
	{"a newer version", func(x *exhibit) { x.bytes[8] = 9 }},
	{"version 0", func(x *exhibit) { x.bytes[8] = 0 }},
	{"a byte of the description", func(x *exhibit) { x.flip(chunkInfo, 0) }},
	{"a byte of the first records", func(x *exhibit) { x.flip(chunkLog, 0) }},
	{"a byte of records in the middle", func(x *exhibit) { x.flip(chunkLog, 2) }},
	{"a byte of records after the second snapshot", func(x *exhibit) { x.flip(chunkLog, len(x.file.chunks[chunkLog])-2) }},
	{"a byte of the last records", func(x *exhibit) { x.flip(chunkLog, len(x.file.chunks[chunkLog])-1) }},
	{"two chunks of records", func(x *exhibit) { x.flip(chunkLog, 1); x.flip(chunkLog, 2) }},
	{"a byte of a chunk's header", func(x *exhibit) { x.bytes[x.file.chunks[chunkLog][1].offset+16] ^= 1 }},
	{"zeros over a chunk", func(x *exhibit) {
		c := x.file.chunks[chunkLog][1]
		clear(x.bytes[c.offset : c.offset+chunkBytes+int64(c.stored)])
	}},
	{"a byte of the first deltas", func(x *exhibit) { x.flip(chunkDeltas, 0) }},
	{"a byte of deltas in the middle", func(x *exhibit) { x.flip(chunkDeltas, 1) }},
	{"a byte of the last deltas", func(x *exhibit) { x.flip(chunkDeltas, len(x.file.chunks[chunkDeltas])-1) }},
	{"a byte of a snapshot", func(x *exhibit) { x.flip(chunkSnapshot, 1) }},
	{"a byte of every snapshot", func(x *exhibit) {
		for i := range x.file.chunks[chunkSnapshot] {
			x.flip(chunkSnapshot, i)
		}
	}},
	{"a byte of the index", func(x *exhibit) { x.bytes[binary.LittleEndian.Uint64(x.trailer())+chunkBytes+20] ^= 1 }},
	{"a byte of the trailer", func(x *exhibit) { x.trailer()[3] ^= 1 }},
	{"a byte of the file's end", func(x *exhibit) { x.trailer()[39] ^= 1 }},
	{"the last byte cut off", func(x *exhibit) { x.bytes = x.bytes[:len(x.bytes)-1] }},
	{"cut in the middle of the records", func(x *exhibit) { x.bytes = x.bytes[:x.file.chunks[chunkLog][2].offset+100] }},
	{"cut in the prefix", func(x *exhibit) { x.bytes = x.bytes[:10] }},
	{"a hole", func(x *exhibit) {
		c := x.file.chunks[chunkLog][1]
		x.bytes = slices.Delete(x.bytes, int(c.offset)+90, int(c.offset)+190)
	}},
	{"a hole, and a trailer that agrees", func(x *exhibit) {
		c := x.file.chunks[chunkLog][1]
		x.bytes = slices.Delete(x.bytes, int(c.offset)+90, int(c.offset)+190)
		t := x.trailer()
		binary.LittleEndian.PutUint64(t, binary.LittleEndian.Uint64(t)-100)
		binary.LittleEndian.PutUint64(t[8:], uint64(len(x.bytes)))
		binary.LittleEndian.PutUint64(t[24:], xxh3.Hash(t[:24]))
	}},
	{"bytes appended", func(x *exhibit) { x.bytes = append(x.bytes, "more"...) }},
}

// rewrite replaces the record of a sequence by another one, soundly sealed.
func (v *voyage) rewrite(seq Seq, change func(*Record)) {
	v.t.Helper()
	m := v.m.at(seq)
	r, err := DecodeRecord(bytes.Clone(m.Body))
	if err != nil {
		v.t.Fatal(err)
	}
	change(r)
	body, err := r.Encode(nil)
	if err != nil {
		v.t.Fatal(err)
	}
	*m = r.Message(body)
	m.Seq = seq
}

// historyDamages are unsound histories in a sound file, or in a store.
var historyDamages = []struct {
	name string
	harm func(*voyage, *Source)
}{
	{"a record with another checksum", func(v *voyage, _ *Source) { v.rewrite(40, func(r *Record) { r.Ticks[0].Checksum++ }) }},
	{"a record with another frame", func(v *voyage, _ *Source) {
		other, err := DecodeRecord(v.m.at(41).Body)
		if err != nil {
			v.t.Fatal(err)
		}
		v.rewrite(40, func(r *Record) { r.Ticks[0].Frame = other.Ticks[0].Frame })
	}},
	{"a record of another epoch", func(v *voyage, _ *Source) { v.rewrite(40, func(r *Record) { r.Epoch = 3 }) }},
	{"a record stored twice", func(v *voyage, _ *Source) { m := *v.m.at(40); m.Seq = 41; *v.m.at(41) = m }},
	{"two records swapped", func(v *voyage, _ *Source) {
		a, b := *v.m.at(40), *v.m.at(41)
		a.Seq, b.Seq = 41, 40
		*v.m.at(40), *v.m.at(41) = b, a
	}},
	{"five records swapped with the next five", func(v *voyage, _ *Source) {
		for seq := Seq(40); seq < 45; seq++ {
			a, b := *v.m.at(seq), *v.m.at(seq + 5)
			a.Seq, b.Seq = seq+5, seq
			*v.m.at(seq), *v.m.at(seq + 5) = b, a
		}
	}},
	{"genesis of another lineage", func(v *voyage, _ *Source) { v.rewrite(1, func(r *Record) { r.Genesis.Lineage = "other" }) }},
	{"another shard's log", func(v *voyage, s *Source) { s.Lineage = "other" }},
	{"another game's log", func(v *voyage, _ *Source) { v.rewrite(1, func(r *Record) { r.Genesis.Game = "chess" }) }},
	{"the end cut off, deltas and snapshots know it", func(v *voyage, _ *Source) { v.m.log = v.m.log[:150] }},
	{"the end cut off, one delta more", func(v *voyage, _ *Source) { v.m.log = v.m.log[:len(v.m.log)-1] }},
	{"the deltas end early", func(v *voyage, _ *Source) { v.m.deltas = v.m.deltas[:90] }},
	{"no delta at all", func(v *voyage, _ *Source) { v.m.deltas = nil }},
	{"the deltas begin late", func(v *voyage, _ *Source) { v.m.deltas = v.m.deltas[64:] }},
	{"a snapshot of another tick", func(v *voyage, _ *Source) {
		s, err := DecodeSnapshot(v.m.snapshots[1].body)
		s.Tick--
		if err == nil {
			v.m.snapshots[1].body, err = s.Encode(nil)
		}
		if err != nil {
			v.t.Fatal(err)
		}
	}},
}

// told renders what a check says.
func told(src Source) string {
	var b strings.Builder
	game := drift(0)
	r, err := Check(context.Background(), src, CheckOptions{Game: &game})
	for _, f := range r.Findings {
		fmt.Fprintln(&b, f)
		for _, then := range f.Then {
			fmt.Fprintln(&b, "  so:", then)
		}
	}
	if r.Unproven != nil {
		fmt.Fprintln(&b, "unproven:", r.Unproven)
	}
	fmt.Fprintln(&b, "sound:", r.Sound)
	if err != nil {
		fmt.Fprintln(&b, "error:", err)
	}
	return b.String()
}

// TestWhatACheckSaysOfEachDamage compares with testdata/damages.txt; -update rewrites it: read the new sentences aloud.
func TestWhatACheckSaysOfEachDamage(t *testing.T) {
	var out strings.Builder
	for _, d := range fileDamages {
		v := sail(t, 200)
		x := exhibited(t, v, v.source())
		d.harm(x)
		fmt.Fprintf(&out, "== file: %s\n", d.name)
		f, err := ReadFile(bytes.NewReader(x.bytes), int64(len(x.bytes)))
		if err != nil {
			fmt.Fprintln(&out, "refused:", err)
			continue
		}
		out.WriteString(told(f.Source()))
	}
	for _, d := range historyDamages {
		v := sail(t, 200)
		src := v.source()
		d.harm(v, &src)
		fmt.Fprintf(&out, "== history: %s\n%s", d.name, told(src))
	}
	got := regexp.MustCompile(`\d+( to \d+)?( of)?( \d+)? (bytes|of the file)|(byte|bytes|says) \d+( to \d+)?`).ReplaceAllStringFunc(out.String(), func(s string) string {
		return regexp.MustCompile(`\d+`).ReplaceAllString(s, "N") // the compressor may change
	})
	path := filepath.Join("testdata", "damages.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sections, wanted := strings.Split(got, "== "), strings.Split(string(want), "== ")
	for i := range max(len(sections), len(wanted)) {
		if i >= len(sections) || i >= len(wanted) || sections[i] != wanted[i] {
			t.Fatalf("section %d differs from %s:\n%s", i, path, got)
		}
	}
}

// TestAnotherFileIsNoDamagedLog: a file that was never an export is told from one whose first bytes are damaged.
func TestAnotherFileIsNoDamagedLog(t *testing.T) {
	v := sail(t, 20)
	export := exhibited(t, v, v.source()).bytes
	damaged := bytes.Clone(export)
	damaged[0] ^= 1
	for name, c := range map[string]struct {
		bytes []byte
		other bool
	}{
		"nothing":                    {nil, true},
		"a script":                   {[]byte("#!/bin/sh\n"), true},
		"one byte":                   {[]byte("x"), true},
		"zeros":                      {make([]byte, 4096), true},
		"an export's first byte":     {export[:1], false},
		"an export cut in its begin": {export[:10], false},
		"an export, one byte wrong":  {damaged, false},
	} {
		_, err := ReadFile(bytes.NewReader(c.bytes), int64(len(c.bytes)))
		if !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNoExport) != c.other {
			t.Errorf("%s: %v", name, err)
		}
	}
}
