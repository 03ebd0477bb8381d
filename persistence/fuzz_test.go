package persistence

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"github.com/zeebo/xxh3"
)

// seedCorpus adds the golden bytes of a kind to a fuzz target, which also reads
// testdata/fuzz.
func seedCorpus(f *testing.F, what string) {
	for _, name := range goldenOf[what] {
		f.Add(readGolden(f, name))
	}
}

// typed demands that an error about untrusted bytes is a typed one.
func typed(t *testing.T, err error) {
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
		t.Fatalf("an untyped error: %v", err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	seedCorpus(f, "record")
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, resealed(b)} {
			r, err := DecodeRecord(b)
			typed(t, err)
			if err != nil {
				continue
			}
			again, err := r.Encode(nil)
			if err != nil {
				t.Fatalf("decoded, but it cannot be encoded: %v", err)
			}
			back, err := DecodeRecord(again)
			if err != nil || !reflect.DeepEqual(back, r) {
				t.Fatalf("%+v became %+v (%v)", r, back, err)
			}
		}
	})
}

func FuzzDecodeDelta(f *testing.F) {
	seedCorpus(f, "delta")
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, resealed(b)} {
			all, err := DecodeDeltas(b)
			typed(t, err)
			one, oneErr := DecodeDelta(b)
			typed(t, oneErr)
			if (oneErr == nil) != (len(all) == 1) || oneErr == nil && !reflect.DeepEqual(one, all[0]) {
				t.Fatalf("%d deltas, or %+v (%v)", len(all), one, oneErr)
			}
			if err != nil {
				continue
			}
			again, err := EncodeDeltas(nil, all)
			if err != nil {
				t.Fatalf("decoded, but it cannot be encoded: %v", err)
			}
			back, err := DecodeDeltas(again)
			if err != nil || DeltasHeader(back) != DeltasHeader(all) || len(back) != len(all) {
				t.Fatalf("%+v became %+v (%v)", all, back, err)
			}
			for i := range back {
				if back[i].Share = all[i].Share; !reflect.DeepEqual(back[i], all[i]) { // the bytes of all need not be the shortest
					t.Fatalf("%+v became %+v", all[i], back[i])
				}
			}
		}
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	seedCorpus(f, "snapshot")
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, resealed(b)} {
			s, err := DecodeSnapshot(b)
			typed(t, err)
			if err == nil {
				if _, err := s.Encode(nil); err != nil {
					t.Fatalf("decoded, but it cannot be encoded: %v", err)
				}
			}
		}
	})
}

func FuzzReadFile(f *testing.F) {
	s := chronicle(f)
	s.snapshot()
	path := filepath.Join(f.TempDir(), "x.wind")
	if _, err := Export(context.Background(), path, s.source()); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-trailerBytes])
	f.Add(whole[:prefixBytes])
	f.Fuzz(func(t *testing.T, b []byte) {
		readAll(t, b)
		readAll(t, resealedFile(b))
	})
}

// readAll reads everything that a file claims to contain.
func readAll(t *testing.T, b []byte) {
	ctx := context.Background()
	file, err := ReadFile(bytes.NewReader(b), int64(len(b)))
	typed(t, err)
	if err != nil {
		return
	}
	first, _ := file.Log().First(ctx)
	last, _ := file.Log().Last(ctx)
	for _, err := range file.Log().Read(ctx, first, min(last, first+1000)) {
		if !errors.Is(err, ErrGap) {
			typed(t, err)
		}
	}
	if d := file.Deltas(); d != nil {
		for _, err := range d.Read(ctx, 1) {
			typed(t, err)
		}
	}
	if s := file.Snapshots(); s != nil {
		_, err := s.List(ctx)
		typed(t, err)
	}
}

// resealedFile returns b with correct hashes and a matching index and size, as far
// as b still consists of chunks.
func resealedFile(b []byte) []byte {
	b = bytes.Clone(b)
	var index []byte
	offset := int64(prefixBytes)
	for int64(len(b))-offset >= chunkBytes {
		c, err := parseHashed(b[offset:], offset, int64(len(b))-offset-chunkBytes)
		if err != nil || c.kind == chunkIndex {
			break
		}
		end := offset + chunkBytes + int64(c.stored)
		hash := c.sum(b[offset+chunkBytes : end])
		copy(b[offset+hashedBytes:], hash[:])
		index = binary.LittleEndian.AppendUint64(index, uint64(offset))
		index = c.appendHashed(index)
		offset = end
	}
	if offset == prefixBytes {
		return b
	}
	c := chunk{kind: chunkIndex, entries: uint32(len(index) / indexBytes), raw: uint64(len(index)), stored: uint64(len(index))}
	c.hash = c.sum(index)
	b = append(c.append(b[:offset:offset]), index...)
	trailer := binary.LittleEndian.AppendUint64(nil, uint64(offset))
	trailer = binary.LittleEndian.AppendUint64(trailer, uint64(len(b)+trailerBytes))
	trailer = binary.LittleEndian.AppendUint64(trailer, uint64(c.entries))
	trailer = binary.LittleEndian.AppendUint64(trailer, xxh3.Hash(trailer))
	return append(append(b, trailer...), fileEnd...)
}

func FuzzParseHeader(f *testing.F) {
	f.Add("ticks", "805-812", "3", "0000000000000abc", "1", "2/5")
	f.Add("", "-", "x", "", "-1", "/")
	f.Fuzz(func(t *testing.T, kind, tick, epoch, checksum, format, part string) {
		in := map[string]string{HeaderKind: kind, HeaderTick: tick, HeaderEpoch: epoch, HeaderChecksum: checksum, HeaderFormat: format, HeaderPart: part}
		h, err := ParseHeader(func(k string) string { return in[k] })
		if err != nil {
			return
		}
		out := map[string]string{}
		for k, v := range h.Each {
			out[k] = v
		}
		if back, err := ParseHeader(func(k string) string { return out[k] }); err != nil || back != h {
			t.Fatalf("%+v became %+v (%v)", h, back, err)
		}
	})
}

// False lengths must not cost memory.
func TestHostileLengthsAllocateLittle(t *testing.T) {
	huge := map[string][]byte{
		"array of ticks": []byte("\x87\xa1v\x01\xa4kind\xa5ticks\xa5epoch\x01\xa3seq\x02\xa4prev\xc4\x100123456789abcdef\xa5ticks\xdd\xff\xff\xff\xff"),
		"frame":          []byte("\x87\xa1v\x01\xa4kind\xa5ticks\xa5epoch\x01\xa3seq\x02\xa4prev\xc4\x100123456789abcdef\xa5ticks\x91\x83\xa4tick\x01\xa5check\x01\xa5frame\xc6\x7f\xff\xff\xff"),
		"kind":           []byte("\x87\xa1v\x01\xa4kind\xdb\xff\xff\xff\xff"),
		"outbox":         []byte("\x87\xa1v\x01\xa4kind\xa5ticks\xa5epoch\x01\xa3seq\x02\xa4prev\xc4\x100123456789abcdef\xa5ticks\x91\x84\xa4tick\x01\xa5check\x01\xa5frame\xc4\x00\xa6outbox\xdd\x00\x01\x00\x00"),
		"map":            []byte("\xdf\xff\xff\xff\xff"),
	}
	for name, b := range huge {
		b = resealed(append(b, make([]byte, tailBytes)...))
		if n := allocated(func() { _ = decoderOf["record"](b) }); n > 64<<10 {
			t.Errorf("%s: %d bytes allocated for %d", name, n, len(b))
		}
		if err := decoderOf["record"](b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A snapshot that claims that its 30 bytes unpack to a gigabyte.
	s := sampleSnapshot()
	s.Body = []byte("small")
	b, err := s.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte("\xa4size\x05"), []byte("\xa4size\xce\x3f\xff\xff\xff"), 1)
	if n := allocated(func() { err = decoderOf["snapshot"](resealed(b)) }); n > 4<<20 || !errors.Is(err, ErrCorrupt) {
		t.Errorf("%d bytes allocated, %v", n, err)
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
