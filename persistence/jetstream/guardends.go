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

// end compares a bucket's last message with its index, which the server writes on a clean stop and at least every two
// minutes.
func (g *guard) end() error {
	if !strings.HasPrefix(g.files.name, kvStreamPrefix+streamPrefix) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(g.files.dir, "meta.inf")); err == nil && len(g.files.blocks) == 0 {
		// A stream gets its first block before its description, and always keeps at least one.
		return &DamagedStreamError{Stream: g.files.name, File: g.files.dir, Reason: "its messages are missing"}
	}
	path := filepath.Join(g.files.dir, "msgs", "index.db")
	last, err := indexedLast(path, g.files.name)
	if err != nil || last <= g.last {
		return err
	}
	return &DamagedStreamError{Stream: g.files.name, File: filepath.Dir(path), Reason: fmt.Sprintf("it ends with message %d, but its index knows of message %d", g.last, last)}
}

// indexedLast reads the last sequence from a stream's index (filestore.go, _writeFullState): two bytes of magic and
// version, messages, bytes, first sequence, its time, last sequence, …, a checksum. It returns 0 for a damaged or
// missing index, which the server rebuilds.
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

// consumers moves aside every stored consumer state whose counts exceed its size: the server would allocate room for
// those counts. Such a consumer starts over.
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
		g.aside = append(g.aside, Aside{Stream: g.files.name, File: rel, Kept: kept, Reason: "a consumer's state counts more messages than it has room for; the consumer starts over"})
	}
	return nil
}

// promisesTooMuch reports whether a consumer's state counts more messages than its bytes can encode (filestore.go,
// decodeConsumerState): magic, version, four sequences, the pending messages (count, time, then two or three numbers
// each), the redelivered messages (count, two numbers each). Each number takes at least one byte.
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
