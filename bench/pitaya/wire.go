package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ferris1/wind/bench"
)

// Pitaya's protocol, from docs/communication_protocol.md of topfreegames/pitaya. A package is a type, a length of three
// bytes, big-endian, and a body.
const (
	packageHead      = 4
	packageHandshake = 1
	packageAck       = 2
	packageHeartbeat = 3
	packageData      = 4
	packageKick      = 5

	maxPackageBody = 1 << 20 // more than any measured answer
)

// A message begins with flags. The lowest bit says that the route is a number; the next three are the type.
const (
	typeMask     = 7 << 1
	typeResponse = 2 << 1
	flagError    = 0x20
)

// handshake is a client's first body. Pitaya's own clients send more fields.
const handshake = `{"sys":{"platform":"linux","libVersion":"0.1","clientBuildNumber":"1","clientVersion":"1.0"},"user":{}}`

// pitayaWire implements bench.Wire for a Pitaya frontend server: a handshake, then requests with one route and one body.
type pitayaWire struct {
	route     string
	body      []byte
	heartbeat bool // a heartbeat arrived; the next request carries the answer
}

var _ bench.Wire = (*pitayaWire)(nil)

func appendPackage(b []byte, kind byte, length int) []byte {
	return append(b, kind, byte(length>>16), byte(length>>8), byte(length))
}

// Open performs the handshake. It ignores what the server announces, such as numbers for routes.
func (w *pitayaWire) Open(c io.Writer, r *bufio.Reader) error {
	if len(w.route) > 255 {
		return fmt.Errorf("route %q is longer than 255 bytes", w.route)
	}
	if _, err := c.Write(append(appendPackage(nil, packageHandshake, len(handshake)), handshake...)); err != nil {
		return err
	}
	kind, body, err := readPackage(r)
	switch {
	case err != nil:
		return fmt.Errorf("no answer to the handshake: %w", err)
	case kind != packageHandshake:
		return fmt.Errorf("the server answered the handshake with a package of type %d", kind)
	case bytes.HasPrefix(body, []byte("{")) && !bytes.Contains(body, []byte(`"code":200`)): // a compressed body is not checked
		return fmt.Errorf("the server refused the handshake: %.200q", body)
	}
	_, err = c.Write(appendPackage(nil, packageAck, 0))
	return err
}

// Append implements bench.Wire. A request is flags, number, route, body.
func (w *pitayaWire) Append(b []byte, number uint32) []byte {
	if w.heartbeat {
		b, w.heartbeat = appendPackage(b, packageHeartbeat, 0), false
	}
	var id [binary.MaxVarintLen32]byte
	n := binary.PutUvarint(id[:], uint64(number))
	b = appendPackage(b, packageData, 1+n+1+len(w.route)+len(w.body))
	b = append(b, 0) // a request whose route is a string
	b = append(b, id[:n]...)
	b = append(b, byte(len(w.route)))
	b = append(b, w.route...)
	return append(b, w.body...)
}

// Next implements bench.Wire. It skips heartbeats and pushes. An answer that does not echo the request ends the connection.
func (w *pitayaWire) Next(r *bufio.Reader) (uint32, error) {
	for {
		kind, body, err := readPackage(r)
		switch {
		case err != nil:
			return 0, err
		case kind == packageHeartbeat:
			w.heartbeat = true
			continue
		case kind == packageKick:
			return 0, fmt.Errorf("kicked: %.200q", body)
		case kind != packageData:
			return 0, fmt.Errorf("a package of type %d between answers", kind)
		case len(body) == 0:
			return 0, fmt.Errorf("an empty message")
		case body[0]&typeMask != typeResponse:
			continue
		}
		number, n := binary.Uvarint(body[1:])
		if n <= 0 {
			return 0, fmt.Errorf("a response without a number")
		}
		if body[0]&flagError != 0 {
			return uint32(number), &bench.FailedError{Text: fmt.Sprintf("%.200q", body[1+n:])}
		}
		if !bytes.Equal(body[1+n:], w.body) {
			return 0, fmt.Errorf("an answer of %d bytes is not its request's body of %d", len(body)-1-n, len(w.body))
		}
		return uint32(number), nil
	}
}

// readPackage reads one package. body is valid until the next read.
func readPackage(r *bufio.Reader) (kind byte, body []byte, err error) {
	head, err := r.Peek(packageHead)
	if err != nil {
		return 0, nil, err
	}
	kind = head[0]
	n := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
	if n > maxPackageBody {
		return 0, nil, fmt.Errorf("a package of %d bytes, want at most %d", n, maxPackageBody)
	}
	if packageHead+n <= r.Size() {
		whole, err := r.Peek(packageHead + n)
		if err != nil {
			return 0, nil, err
		}
		_, err = r.Discard(packageHead + n)
		return kind, whole[packageHead:], err
	}
	if _, err := r.Discard(packageHead); err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return kind, body, err
}
