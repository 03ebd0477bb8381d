// Package frame implements the two envelopes of the wire: the frame of the stream
// transports and the header of the datagram lane. PROTOCOL.md, one folder up,
// specifies both. The package does no I/O.
package frame

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// HeaderSize is the length in bytes of | message id u32 | length u32 |.
const HeaderSize = 8

// MaxFromClient and MaxFromServer bound the payload of one frame, in bytes, in
// each direction. A longer payload ends the connection.
const (
	MaxFromClient = 16 << 10
	MaxFromServer = 1 << 20
)

// callBit marks a call in a frame's id; the other bits are the message's.
const callBit = 1 << 31

// TooLargeError reports a frame that announces a payload over the limit.
type TooLargeError struct {
	ID          uint32
	Length, Max int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("frame: message %d announces %d bytes, at most %d are allowed", e.ID&^callBit, e.Length, e.Max)
}

// Append appends one frame to dst.
func Append(dst []byte, id uint32, payload []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, id)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	return append(dst, payload...)
}

// SetLength writes the payload's length into the header of b, which is one frame
// with a payload appended after its header.
func SetLength(b []byte) { binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-HeaderSize)) }

// AppendMessage appends m as one frame to dst, without an intermediate copy. It
// panics if m cannot be marshalled (a string with invalid UTF-8).
func AppendMessage(dst []byte, id uint32, m proto.Message) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst, err := proto.MarshalOptions{}.MarshalAppend(dst, m)
	if err != nil {
		panic(fmt.Sprintf("frame: message %d: %v", id, err))
	}
	binary.LittleEndian.PutUint32(dst[start:], id)
	SetLength(dst[start:])
	return dst
}

// Reader cuts a byte stream into frames. Feed adds the stream in pieces of any
// size; Next returns the frames. If the caller drains it after every Feed, it buffers
// at most one incomplete frame and the last piece. The zero value allows no
// payload: use NewReader. Not for concurrent use.
type Reader struct {
	max  int
	buf  []byte
	next int // where in buf the next frame starts
	err  error
}

// NewReader returns a reader that refuses payloads of more than max bytes.
func NewReader(max int) *Reader { return &Reader{max: max} }

// Feed appends a copy of p to the stream. It invalidates the payloads that Next has
// returned.
func (r *Reader) Feed(p []byte) {
	if r.err != nil {
		return
	}
	if r.next > 0 {
		r.buf = r.buf[:copy(r.buf, r.buf[r.next:])]
		r.next = 0
	}
	r.buf = append(r.buf, p...)
}

// Next returns the next complete frame; ok is false if it needs more bytes. The
// reader owns the payload, which is valid until Feed. After an error (always
// *TooLargeError) the frame boundaries are lost: every later call returns it too.
func (r *Reader) Next() (id uint32, payload []byte, ok bool, err error) {
	if r.err != nil {
		return 0, nil, false, r.err
	}
	b := r.buf[r.next:]
	if len(b) < HeaderSize {
		return 0, nil, false, nil
	}
	id = binary.LittleEndian.Uint32(b)
	length := binary.LittleEndian.Uint32(b[4:])
	if uint64(length) > uint64(r.max) {
		r.err = &TooLargeError{ID: id, Length: int(length), Max: r.max}
		r.buf, r.next = nil, 0
		return 0, nil, false, r.err
	}
	if len(b) < HeaderSize+int(length) {
		return 0, nil, false, nil
	}
	r.next += HeaderSize + int(length)
	return id, b[HeaderSize : HeaderSize+int(length)], true, nil
}

// Buffered returns the number of bytes that Next has not returned yet.
func (r *Reader) Buffered() int { return len(r.buf) - r.next }
