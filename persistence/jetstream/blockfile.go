package jetstream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"

	"github.com/ferris1/wind/persistence"
)

// This file reads the files of nats-server's file store (as of 2.15) without opening them for writing: see
// "rebuildStateFromBufLocked" in its filestore.go. A block <index>.blk is a sequence of rows:
//
//	length u32 | sequence u64 | time u64 | subject length u16 | subject | [header length u32 | header] | body | checksum u64
//
// All numbers are little-endian. The length covers the whole row, and its highest bit marks a row with a header. The
// checksum is a highwayhash of sequence to body, keyed by stream and block, without the lengths. The sequence's highest
// bit marks a message that was erased in place. The bit below marks a tombstone: a row which records that this
// sequence, stored earlier, is deleted.
const (
	blockHeader    = 4 + 8 + 8 + 2
	blockChecksum  = 8
	blockMaxLength = 32 << 20
	hasHeaderBit   = uint32(1) << 31
	erasedBit      = uint64(1) << 63
	tombstoneBit   = uint64(1) << 62
)

// accountDir contains the streams of our server's only account.
var accountDir = filepath.Join("jetstream", "$G", "streams")

// storedMsg is a message in a block. Its slices are valid until the next message is read.
type storedMsg struct {
	seq     uint64
	subject string
	header  []byte // "NATS/1.0\r\n…", nil without headers
	body    []byte
}

// blockDamage is the place where a block becomes unreadable.
type blockDamage struct {
	file   string
	offset int
	after  uint64 // the last sequence before it; 0: no message precedes it in this stream
	tail   bool   // the damage is in the newest block and could be a write that a crash cut off
	reason string
}

func (d *blockDamage) Error() string {
	return fmt.Sprintf("%s at byte %d: %s", filepath.Base(d.file), d.offset, d.reason)
}

// streamFiles is a stream's directory, opened only for reading.
type streamFiles struct {
	dir      string
	name     string
	subjects []string
	blocks   []int // indexes, ascending

	// From the notes in a log's metadata:
	purgedBelow uint64             // 0: not noted
	accepted    []persistence.Mark // accepted losses of history
}

// descriptionError reports that a stream's description is damaged or missing.
type descriptionError struct {
	dir string // of the stream
	err error
}

func (e *descriptionError) Error() string { return e.err.Error() }
func (e *descriptionError) Unwrap() error { return e.err }

// openStreamFiles checks the stream's own description, which the server must find intact before it reads any message.
// It returns a *descriptionError if the description is damaged or missing.
func openStreamFiles(store, name string) (*streamFiles, error) {
	s := &streamFiles{dir: filepath.Join(store, accountDir, name), name: name}
	if err := s.describe(); err != nil {
		return nil, &descriptionError{s.dir, err}
	}
	return s, s.list()
}

func (s *streamFiles) describe() error {
	meta, err := os.ReadFile(filepath.Join(s.dir, "meta.inf"))
	if err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(s.dir, "meta.sum"))
	if err != nil {
		return err
	}
	h := keyedHash(s.name)
	h.Write(meta)
	if hex.EncodeToString(h.Sum(nil)) != string(sum) {
		return errors.New("meta.inf and its checksum in meta.sum do not match: the server would not find the stream")
	}
	var config struct {
		Name        string   `json:"name"`
		Subjects    []string `json:"subjects"`
		Compression string   `json:"compression"`

		Metadata map[string]string `json:"metadata"`
	}
	if err := json.Unmarshal(meta, &config); err != nil || config.Name != s.name {
		return fmt.Errorf("meta.inf does not describe stream %s", s.name)
	}
	if config.Compression != "" && config.Compression != "none" {
		return fmt.Errorf("the stream is compressed (%s), which Wind never does", config.Compression)
	}
	s.subjects = config.Subjects
	s.purgedBelow, _ = strconv.ParseUint(config.Metadata[purgedBelow], 10, 64) // 0: not noted
	s.accepted = parseAccepted(config.Metadata[acceptedLosses])
	return nil
}

func (s *streamFiles) list() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "msgs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), ".blk")
		if n, err := strconv.Atoi(digits); ok && err == nil {
			s.blocks = append(s.blocks, n)
		}
	}
	slices.Sort(s.blocks)
	return nil
}

func (s *streamFiles) path(block int) string {
	return filepath.Join(s.dir, "msgs", strconv.Itoa(block)+".blk")
}

// keyedHash returns nats-server's hash for a stream or one of its blocks.
func keyedHash(name string) hash.Hash64 {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	return h
}

// blockReader reads one block after another.
type blockReader struct {
	files   *streamFiles
	buf     []byte
	last    uint64   // sequence of the last message
	deleted []uint64 // tombstones met so far
}

// read yields every stored message of a block, except those erased in place. It returns a *blockDamage if it reaches
// unreadable data.
func (r *blockReader) read(block int, yield func(storedMsg) error) error {
	path := r.files.path(block)
	if err := r.load(path); err != nil {
		return err
	}
	h := keyedHash(r.files.name + "-" + strconv.Itoa(block))
	for at := 0; at < len(r.buf); {
		n, reason := rowLength(r.buf[at:], h)
		if reason != "" {
			// Rows are written in order, so nothing follows one that a crash cut off.
			tail := block == r.files.blocks[len(r.files.blocks)-1] && (n == 0 || at+n >= len(r.buf))
			return &blockDamage{file: path, offset: at, after: r.last, tail: tail, reason: reason}
		}
		if err := r.row(r.buf[at:at+n], yield); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// load reads the file into the reader's buffer.
func (r *blockReader) load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return err
	}
	r.buf = slices.Grow(r.buf[:0], int(i.Size())+bytes.MinRead)
	b := bytes.NewBuffer(r.buf)
	_, err = b.ReadFrom(f)
	r.buf = b.Bytes()
	return err
}

// row yields one row whose layout rowLength has checked.
func (r *blockReader) row(row []byte, yield func(storedMsg) error) error {
	seq := binary.LittleEndian.Uint64(row[4:])
	if seq&tombstoneBit != 0 {
		r.deleted = append(r.deleted, seq&^tombstoneBit)
		return nil
	}
	if seq == 0 || seq&erasedBit != 0 || seq <= r.last {
		return nil // erased, or a copy that a later row replaced
	}
	r.last = seq
	return yield(parseRow(row, seq))
}

func parseRow(row []byte, seq uint64) storedMsg {
	data := row[blockHeader : len(row)-blockChecksum]
	subject := int(binary.LittleEndian.Uint16(row[20:]))
	m := storedMsg{seq: seq, subject: string(data[:subject]), body: data[subject:]}
	if binary.LittleEndian.Uint32(row)&hasHeaderBit != 0 {
		n := int(binary.LittleEndian.Uint32(m.body))
		if n > len(m.body)-4 {
			n = len(m.body) - 4 // the length is outside the checksum; the chain notices
		}
		m.header, m.body = m.body[4:4+n], m.body[4+n:]
	}
	return m
}

// rowLength returns the length of the first row of b in bytes and, if it is not valid, the reason. n is 0 if b ends
// before the row does. A nil h skips the checksum.
func rowLength(b []byte, h hash.Hash64) (n int, reason string) {
	if len(bytes.TrimLeft(b[:min(len(b), 4096)], "\x00")) == 0 && len(bytes.TrimLeft(b, "\x00")) == 0 {
		return 0, fmt.Sprintf("the last %d bytes are zero", len(b))
	}
	if len(b) < blockHeader {
		return 0, fmt.Sprintf("the last %d bytes are not a message", len(b))
	}
	word := binary.LittleEndian.Uint32(b)
	n, subject := int(word&^hasHeaderBit), int(binary.LittleEndian.Uint16(b[20:]))
	before := subject
	if word&hasHeaderBit != 0 {
		before += 4
	}
	if n > blockMaxLength || n < blockHeader+before+blockChecksum {
		return 1, "a message of impossible length"
	}
	if n > len(b) {
		return 0, fmt.Sprintf("a message of %d bytes is cut after %d", n, len(b))
	}
	if h == nil {
		return n, ""
	}
	h.Reset()
	h.Write(b[4:20])
	h.Write(b[blockHeader : blockHeader+subject])
	h.Write(b[blockHeader+before : n-blockChecksum])
	var sum [blockChecksum]byte
	if !bytes.Equal(h.Sum(sum[:0]), b[n-blockChecksum:n]) {
		return n, "the checksum of a message does not match"
	}
	if before > subject && !headersFit(b[blockHeader+subject:n-blockChecksum]) {
		return n, "the length of a message's headers is wrong" // it is outside the checksum
	}
	return n, ""
}

// headersFit reports whether the headers at the start of b, which follow their length, end where the length says.
func headersFit(b []byte) bool {
	n := int(binary.LittleEndian.Uint32(b))
	return n <= len(b)-4 && bytes.HasSuffix(b[4:4+n], []byte("\r\n\r\n"))
}

// skimmed is a row whose frame and subject have been read, and nothing more.
type skimmed struct {
	seq     uint64
	subject string
	read    func() ([]byte, error) // the whole row, checked
	deleted bool                   // a later row says that the message with this sequence is deleted; nothing else is set
}

// skim yields the messages of a block whose subjects begin with prefix, and the tombstones, and skips what is in the
// other rows without reading it. It returns an error at the first damage.
func (s *streamFiles) skim(block int, prefix string, yield func(skimmed) error) error {
	f, err := os.Open(s.path(block))
	if err != nil {
		return err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return err
	}
	w := window{f: f, size: i.Size()}
	h := keyedHash(s.name + "-" + strconv.Itoa(block))
	for at := int64(0); at < w.size; {
		head, err := w.at(at, blockHeader)
		if err != nil {
			return err
		}
		if len(head) < blockHeader {
			return errors.New("the last bytes are not a message")
		}
		n, seq, subject := int64(binary.LittleEndian.Uint32(head)&^hasHeaderBit), binary.LittleEndian.Uint64(head[4:]), int(binary.LittleEndian.Uint16(head[20:]))
		if n < blockHeader+blockChecksum || n > blockMaxLength {
			return errors.New("a message of impossible length")
		}
		if seq&tombstoneBit != 0 {
			if err := yield(skimmed{seq: seq &^ tombstoneBit, deleted: true}); err != nil {
				return err
			}
		} else if seq&erasedBit == 0 && subject >= len(prefix) && subject < page-blockHeader {
			if head, err = w.at(at, blockHeader+subject); err != nil {
				return err
			}
			if r := (skimmed{seq: seq, subject: string(head[blockHeader:])}); strings.HasPrefix(r.subject, prefix) {
				begin := at // at moves on
				r.read = func() ([]byte, error) { return s.row(block, begin, n, h) }
				if err := yield(r); err != nil {
					return err
				}
			}
		}
		at += n
	}
	return nil
}

// row reads and checks a row.
func (s *streamFiles) row(block int, at, n int64, h hash.Hash64) ([]byte, error) {
	f, err := os.Open(s.path(block))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	row := make([]byte, n)
	if _, err := f.ReadAt(row, at); err != nil {
		return nil, err
	}
	if _, reason := rowLength(row, h); reason != "" {
		return nil, errors.New(reason)
	}
	return row, nil
}

// maxLeap is the largest step between the sequences of two rows that is accepted without checking the later row's
// checksum.
const maxLeap = 1 << 16

// cutDamage truncates the blocks of the logs in a copied store at the first row that the copy's server would misread: a
// row of impossible length, or a damaged row whose sequence leaps. When nats-server (2.15: indexCacheBuf) trusts its
// index, it allocates a place for every sequence in between before it checks a checksum, so one flipped bit would take
// all memory. The server finds other damage itself.
func cutDamage(store string) error {
	dirs, err := filepath.Glob(filepath.Join(store, accountDir, "*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		s := &streamFiles{dir: dir, name: filepath.Base(dir)}
		if _, _, isLog := parseLogStream(s.name); !isLog {
			continue
		}
		if err := s.list(); err != nil {
			return err
		}
		last := uint64(0)
		for _, block := range s.blocks {
			b, err := os.ReadFile(s.path(block))
			if err != nil {
				return err
			}
			var at int
			if at, last = misread(b, keyedHash(s.name+"-"+strconv.Itoa(block)), last); at == len(b) {
				continue
			}
			if err := os.Truncate(s.path(block), int64(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// misread returns the offset of the first row in a block that the server would misread, or the block's length if no
// such row exists, and the last sequence before that offset. after is the last sequence of the preceding blocks.
func misread(b []byte, h hash.Hash64, after uint64) (at int, last uint64) {
	last = after
	for at < len(b) {
		n, reason := rowLength(b[at:], nil)
		if reason != "" {
			return at, last
		}
		seq := binary.LittleEndian.Uint64(b[at+4:]) &^ (erasedBit | tombstoneBit)
		if seq > last+maxLeap {
			if _, reason := rowLength(b[at:], h); reason != "" {
				return at, last
			}
		}
		last = max(last, seq)
		at += n
	}
	return at, last
}
