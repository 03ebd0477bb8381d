package persistence

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
	"github.com/zeebo/xxh3"
)

// Every envelope is one msgpack map. Its first key is "v", its last one "sum". That
// never changes, so any version of Wind can tell damage from another version.
const (
	keyVersion = "v"
	keySum     = "sum"
	sumBytes   = 8                              // value of sum, big-endian, after its msgpack code
	tailBytes  = 1 + len(keySum) + 1 + sumBytes // the whole last entry
)

// writer appends msgpack to b. Writing cannot fail, but writer sets err for a value
// that is too large for a reader, so that nothing unreadable is stored.
type writer struct {
	b   []byte
	enc *msgpack.Encoder
	err error
}

var writers = sync.Pool{New: func() any {
	w := &writer{}
	w.enc = msgpack.NewEncoder(w)
	return w
}}

// newWriter returns a pooled writer that appends to dst. done returns it to the pool.
func newWriter(dst []byte) *writer {
	w := writers.Get().(*writer)
	w.b, w.err = dst, nil
	return w
}

func (w *writer) done() ([]byte, error) {
	b, err := w.b, w.err
	w.b = nil
	writers.Put(w)
	return b, err
}

func (w *writer) limit(name string, n, limit int) {
	if n > limit && w.err == nil {
		w.err = fmt.Errorf("%s has a length of %d, at most %d is allowed", name, n, limit)
	}
}

// Write implements io.Writer for the encoder.
func (w *writer) Write(p []byte) (int, error) { w.b = append(w.b, p...); return len(p), nil }

// WriteByte implements io.ByteWriter for the encoder.
func (w *writer) WriteByte(c byte) error { w.b = append(w.b, c); return nil }

func (w *writer) mapLen(n int) { _ = w.enc.EncodeMapLen(n) }

func (w *writer) key(name string) { _ = w.enc.EncodeString(name) }

func (w *writer) uint(name string, v uint64) { w.key(name); _ = w.enc.EncodeUint(v) }
func (w *writer) int(name string, v int64)   { w.key(name); _ = w.enc.EncodeInt(v) }
func (w *writer) bool(name string, v bool)   { w.key(name); _ = w.enc.EncodeBool(v) }

func (w *writer) array(name string, n, limit int) {
	w.limit(name, n, limit)
	w.key(name)
	_ = w.enc.EncodeArrayLen(n)
}

func (w *writer) str(name, v string, limit int) {
	w.limit(name, len(v), limit)
	w.key(name)
	_ = w.enc.EncodeString(v)
}

// fixed writes a 64-bit value in 9 bytes: checksums and hashes are rarely small.
func (w *writer) fixed(name string, v uint64) { w.key(name); _ = w.enc.EncodeUint64(v) }

// bin writes bytes. It writes nil as an empty bin.
func (w *writer) bin(name string, v []byte, limit int) {
	w.limit(name, len(v), limit)
	w.key(name)
	_ = w.enc.EncodeBytesLen(len(v))
	w.b = append(w.b, v...)
}

// text writes text (JSON) as msgpack str, so that any msgpack tool shows it.
func (w *writer) text(name string, v []byte, limit int) { w.str(name, string(v), limit) }

// sum writes the last entry: the 64-bit xxh3 of all bytes since start.
func (w *writer) sum(start int) {
	w.key(keySum)
	_ = w.enc.EncodeUint64(0)
	end := len(w.b) - sumBytes
	binary.BigEndian.PutUint64(w.b[end:], xxh3.Hash(w.b[start:end]))
}

// reader reads one envelope strictly: it accepts only the documented keys and
// types, in the documented order. The first error sticks; values read after it are
// zero. The byte slices that it returns alias the input.
type reader struct {
	what    string
	b       []byte
	src     bytes.Reader
	dec     *msgpack.Decoder
	err     error
	pending [24]byte // a key that was read but not consumed
	keyLen  int      // length of pending; -1 without a pending key
}

var readers = sync.Pool{New: func() any {
	r := &reader{}
	r.dec = msgpack.NewDecoder(&r.src)
	return r
}}

// open checks size, sum and version of an envelope. It returns a reader positioned
// after the first entry, and the remaining entries of its map. The caller must call
// close.
func open(what string, b []byte, limit int) (*reader, *fields, error) {
	r, f, _, err := openAs(what, b, limit, FormatVersion)
	return r, f, err
}

// openAs is open for a kind of envelope with several versions. It also returns the envelope's version.
func openAs(what string, b []byte, limit int, newest uint64) (*reader, *fields, uint64, error) {
	if len(b) > limit {
		return nil, nil, 0, &CorruptError{What: what, Reason: fmt.Sprintf("%d bytes, at most %d are allowed", len(b), limit)}
	}
	end := len(b) - tailBytes
	if end < 0 {
		return nil, nil, 0, &CorruptError{What: what, Reason: fmt.Sprintf("%d bytes are too few", len(b))}
	}
	sum := b[len(b)-sumBytes:]
	if got := xxh3.Hash(b[:len(b)-sumBytes]); got != binary.BigEndian.Uint64(sum) {
		return nil, nil, 0, &CorruptError{What: what, Reason: fmt.Sprintf("its bytes have the sum %016x, but it declares %x", got, sum)}
	}
	r := newReader(what, b)
	f := r.fields()
	version := f.uint(keyVersion)
	if r.err == nil && (version < 1 || version > newest) {
		r.release()
		return nil, nil, 0, &VersionError{What: what, Found: int(min(version, 1<<31-1)), Known: int(newest)}
	}
	return r, f, version, nil
}

// newReader returns a pooled reader of b. release, or close, returns it to the pool.
func newReader(what string, b []byte) *reader {
	r := readers.Get().(*reader)
	r.what, r.b, r.err, r.keyLen = what, b, nil, -1
	r.src.Reset(b)
	return r
}

// close checks that nothing is left, releases the reader and returns its first error.
func (r *reader) close(f *fields) error {
	f.uint(keySum) // open has checked it
	f.end()
	if r.err == nil && r.src.Len() > 0 {
		r.fail("%d bytes after its end", r.src.Len())
	}
	err := r.err
	r.release()
	return err
}

func (r *reader) release() {
	r.b = nil
	r.src.Reset(nil)
	readers.Put(r)
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &CorruptError{What: r.what, Reason: fmt.Sprintf(format, args...)}
	}
}

// code returns the msgpack code of the next value, or after an error 0xc1, which msgpack never uses.
func (r *reader) code() byte {
	if r.err != nil {
		return 0xc1
	}
	c, err := r.dec.PeekCode()
	if err != nil {
		r.fail("it ends early")
		return 0xc1
	}
	return c
}

// take returns the next n bytes of the input without copying them.
func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.src.Len() {
		r.fail("%d bytes declared, %d left", n, r.src.Len())
		return nil
	}
	from := len(r.b) - r.src.Len()
	_, _ = r.src.Seek(int64(n), io.SeekCurrent)
	return r.b[from : from+n : from+n]
}

func (r *reader) readUint() uint64 {
	switch c := r.code(); {
	case c <= msgpcode.PosFixedNumHigh, c >= msgpcode.Uint8 && c <= msgpcode.Uint64:
		v, err := r.dec.DecodeUint64()
		if err != nil {
			r.fail("it ends early")
			return 0
		}
		return v
	default:
		r.fail("code %#x where an unsigned number was expected", c)
		return 0
	}
}

func (r *reader) readInt() int64 {
	switch c := r.code(); {
	case msgpcode.IsFixedNum(c), c >= msgpcode.Uint8 && c <= msgpcode.Int64:
		v, err := r.dec.DecodeInt64()
		if err != nil {
			r.fail("it ends early")
			return 0
		}
		return v
	default:
		r.fail("code %#x where a number was expected", c)
		return 0
	}
}

func (r *reader) readBool() bool {
	c := r.code()
	if c != msgpcode.True && c != msgpcode.False {
		r.fail("code %#x where a bool was expected", c)
		return false
	}
	v, _ := r.dec.DecodeBool()
	return v
}

// readStr returns the bytes of a str of at most limit bytes. They need not be
// UTF-8: a name is stored exactly as the game sent it.
func (r *reader) readStr(limit int) []byte {
	c := r.code()
	if !msgpcode.IsFixedString(c) && c != msgpcode.Str8 && c != msgpcode.Str16 && c != msgpcode.Str32 {
		r.fail("code %#x where a string was expected", c)
		return nil
	}
	return r.readLen(limit)
}

// readBin returns the bytes of a bin of at most limit bytes.
func (r *reader) readBin(limit int) []byte {
	c := r.code()
	if c != msgpcode.Bin8 && c != msgpcode.Bin16 && c != msgpcode.Bin32 {
		r.fail("code %#x where bytes were expected", c)
		return nil
	}
	return r.readLen(limit)
}

func (r *reader) readLen(limit int) []byte {
	n, err := r.dec.DecodeBytesLen()
	if err != nil {
		r.fail("it ends early")
		return nil
	}
	if n > limit {
		r.fail("%d bytes where at most %d are allowed", n, limit)
		return nil
	}
	return r.take(n)
}

// readArray returns the length of an array of at most limit elements, each of
// which takes at least one byte.
func (r *reader) readArray(limit int) int {
	c := r.code()
	if !msgpcode.IsFixedArray(c) && c != msgpcode.Array16 && c != msgpcode.Array32 {
		r.fail("code %#x where an array was expected", c)
		return 0
	}
	n, err := r.dec.DecodeArrayLen()
	if err != nil {
		r.fail("it ends early")
		return 0
	}
	if n > limit || n > r.src.Len() {
		r.fail("an array of %d where at most %d are allowed", n, min(limit, r.src.Len()))
		return 0
	}
	return n
}

// fields reads the entries of one map.
type fields struct {
	r    *reader
	left int
}

// fields opens the next value, which must be a map.
func (r *reader) fields() *fields {
	c := r.code()
	if !msgpcode.IsFixedMap(c) && c != msgpcode.Map16 && c != msgpcode.Map32 {
		r.fail("code %#x where a map was expected", c)
		return &fields{r: r}
	}
	n, err := r.dec.DecodeMapLen()
	if err != nil {
		r.fail("it ends early")
		return &fields{r: r}
	}
	return &fields{r: r, left: n}
}

// has consumes the next key if it is name.
func (f *fields) has(name string) bool {
	r := f.r
	if r.err != nil || f.left == 0 {
		return false
	}
	if r.keyLen < 0 {
		r.keyLen = copy(r.pending[:], r.readStr(len(r.pending)))
	}
	if r.err != nil || string(r.pending[:r.keyLen]) != name {
		return false
	}
	r.keyLen = -1
	f.left--
	return true
}

// need consumes the next key, which must be name.
func (f *fields) need(name string) bool {
	if f.has(name) {
		return true
	}
	if f.left == 0 {
		f.r.fail("key %q is missing", name)
	}
	f.r.fail("key %q where %q was expected", f.r.pending[:max(f.r.keyLen, 0)], name)
	return false
}

// end checks that the map has no further entry.
func (f *fields) end() {
	if f.left > 0 {
		f.r.fail("%d unknown entries", f.left)
	}
}

func (f *fields) uint(name string) uint64 {
	if !f.need(name) {
		return 0
	}
	return f.r.readUint()
}

// count reads a number that must be at most limit.
func (f *fields) count(name string, limit int) int {
	v := f.uint(name)
	if v > uint64(limit) {
		f.r.fail("%s is %d, at most %d is allowed", name, v, limit)
		return 0
	}
	return int(v)
}

func (f *fields) int(name string) int64 {
	if !f.need(name) {
		return 0
	}
	return f.r.readInt()
}

func (f *fields) bool(name string) bool { return f.need(name) && f.r.readBool() }

func (f *fields) str(name string, limit int) string { return string(f.text(name, limit)) }

func (f *fields) text(name string, limit int) []byte {
	if !f.need(name) {
		return nil
	}
	return f.r.readStr(limit)
}

func (f *fields) bin(name string, limit int) []byte {
	if !f.need(name) {
		return nil
	}
	return f.r.readBin(limit)
}

func (f *fields) hash(name string) (h Hash) {
	if b := f.bin(name, len(h)); copy(h[:], b) != len(h) {
		f.r.fail("%s has %d bytes, not %d", name, len(b), len(h))
	}
	return h
}

func (f *fields) array(name string, limit int) int {
	if !f.need(name) {
		return 0
	}
	return f.r.readArray(limit)
}
