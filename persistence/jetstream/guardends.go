package jetstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// end holds what a bucket reaches against its index, which a stop in good order wrote, or the server within two minutes.
func (g *guard) end() error {
	if !strings.HasPrefix(g.files.name, kvStreamPrefix+streamPrefix) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(g.files.dir, "meta.inf")); err == nil && len(g.files.blocks) == 0 {
		// A stream gets its first block before it is described, and is never without one.
		return &DamagedStreamError{Stream: g.files.name, File: g.files.dir, Reason: "its messages are gone"}
	}
	path := filepath.Join(g.files.dir, "msgs", "index.db")
	last, err := indexedLast(path, g.files.name)
	if err != nil || last <= g.last {
		return err
	}
	return &DamagedStreamError{Stream: g.files.name, File: filepath.Dir(path), Reason: fmt.Sprintf("it ends with message %d, its index knows of message %d", g.last, last)}
}

// indexedLast reads the last sequence out of a stream's index (filestore.go, _writeFullState): two bytes of magic and
// version, messages, bytes, first sequence, its time, last sequence, …, a checksum. One that is damaged or missing is 0:
// the server makes a new one.
func indexedLast(path, stream string) (uint64, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil || len(b) < 32 {
		return 0, err
	}
	h := keyedHash(stream)
	h.Write(b[:len(b)-blockChecksum])
	if !bytes.Equal(h.Sum(nil), b[len(b)-blockChecksum:]) {
		return 0, nil
	}
	b = b[2:]
	var last uint64
	for range 5 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, nil
		}
		last, b = v, b[n:]
	}
	return last, nil
}

// consumers sets the states of stored consumers aside that promise more than they hold: the server makes room for what
// they promise. Such a consumer begins anew.
func (g *guard) consumers() error {
	states, err := filepath.Glob(filepath.Join(g.files.dir, "obs", "*", "o.dat"))
	if err != nil {
		return err
	}
	for _, path := range states {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !promisesTooMuch(b) {
			continue
		}
		kept, err := g.keep(path)
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		rel, _ := filepath.Rel(g.files.dir, path)
		g.aside = append(g.aside, Aside{Stream: g.files.name, File: rel, Kept: kept, Reason: "a consumer's state counts more messages than it has room for; the consumer begins anew"})
	}
	return nil
}

// promisesTooMuch reads a consumer's state as far as its counts (filestore.go, decodeConsumerState): magic, version, four
// sequences, the pending messages (count, time, then two or three numbers each), the redelivered ones (count, two each).
// Each number takes a byte at least.
func promisesTooMuch(b []byte) bool {
	if len(b) < 2 {
		return false // the server refuses it
	}
	short := b[1] == 1
	b = b[2:]
	next := func() (v uint64, ok bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	for range 4 {
		if _, ok := next(); !ok {
			return false
		}
	}
	pending, ok := next()
	if !ok {
		return false
	}
	if pending > uint64(len(b)) {
		return true
	}
	if pending > 0 {
		each := 3
		if short {
			each = 2
		}
		for range 1 + int(pending)*each {
			if _, ok := next(); !ok {
				return false
			}
		}
	}
	redelivered, ok := next()
	return ok && redelivered > uint64(len(b))
}
