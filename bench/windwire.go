package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// WindWire implements Wire for a Wind gateway: Open, a login, then calls with one message. netcode/PROTOCOL.md
// specifies the frames.
type WindWire struct {
	Login   proto.Message // sent once, as a call; nil: no login
	Request proto.Message // sent repeatedly
	frame   []byte        // of the request
}

const (
	frameHead    = frame.HeaderSize
	callHead     = 8       // of a call's payload: its number and its timeout
	maxFrameBody = 1 << 20 // more than any measured answer
)

// Open allows the gateway to coalesce frames, and logs in.
func (w *WindWire) Open(c io.Writer, r *bufio.Reader) error {
	var err error
	if w.frame, err = appendCall(nil, w.Request, 0); err != nil {
		return err
	}
	if _, err := c.Write(frame.AppendMessage(nil, wirepb.IDOpen, &wirepb.Open{Coalesce: true})); err != nil {
		return err
	}
	for opened := false; !opened; {
		id, body, err := readFrame(r)
		if err != nil {
			return fmt.Errorf("no answer to Open: %w", err)
		}
		if id == wirepb.IDFault {
			return faultOf(body)
		}
		opened = id == wirepb.IDOpened
	}
	if w.Login == nil {
		return nil
	}
	login, err := appendCall(nil, w.Login, 1)
	if err != nil {
		return err
	}
	if _, err := c.Write(login); err != nil {
		return err
	}
	if _, err := w.Next(r); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	return nil
}

// Append implements Wire.
func (w *WindWire) Append(b []byte, number uint32) []byte {
	n := len(b)
	b = append(b, w.frame...)
	binary.LittleEndian.PutUint32(b[n+frameHead:], number)
	return b
}

// Next implements Wire. It skips frames that do not answer a call.
func (w *WindWire) Next(r *bufio.Reader) (uint32, error) {
	for {
		id, body, err := readFrame(r)
		switch {
		case err != nil:
			return 0, err
		case id == wirepb.IDBye:
			var bye wirepb.Bye
			_ = proto.Unmarshal(body, &bye)
			return 0, fmt.Errorf("the gateway ended the connection: %v %s", bye.Reason, bye.Text)
		case id == wirepb.IDFault:
			return 0, faultOf(body)
		case id&wirepb.IDCall == 0:
			continue
		case len(body) < 4:
			return 0, fmt.Errorf("an answer of %d bytes, want at least 4", len(body))
		}
		number := binary.LittleEndian.Uint32(body)
		if id == wirepb.IDFault|wirepb.IDCall {
			return number, faultOf(body[4:])
		}
		return number, nil
	}
}

// appendCall appends a call of m.
func appendCall(b []byte, m proto.Message, number uint32) ([]byte, error) {
	id := wirepb.IDOf(m)
	if id == 0 {
		return nil, fmt.Errorf("message %s has no id", m.ProtoReflect().Descriptor().Name())
	}
	b = binary.LittleEndian.AppendUint32(b, id|wirepb.IDCall)
	b = binary.LittleEndian.AppendUint32(b, uint32(callHead+proto.Size(m)))
	b = binary.LittleEndian.AppendUint32(b, number)
	b = binary.LittleEndian.AppendUint32(b, 0) // the default timeout
	return proto.MarshalOptions{}.MarshalAppend(b, m)
}

// readFrame reads one frame. body is valid until the next read.
func readFrame(r *bufio.Reader) (id uint32, body []byte, err error) {
	head, err := r.Peek(frameHead)
	if err != nil {
		return 0, nil, err
	}
	id = binary.LittleEndian.Uint32(head)
	n := int(binary.LittleEndian.Uint32(head[4:]))
	if n > maxFrameBody {
		return 0, nil, fmt.Errorf("a frame of %d bytes, want at most %d", n, maxFrameBody)
	}
	if frameHead+n <= r.Size() {
		whole, err := r.Peek(frameHead + n)
		if err != nil {
			return 0, nil, err
		}
		_, err = r.Discard(frameHead + n)
		return id, whole[frameHead:], err
	}
	if _, err := r.Discard(frameHead); err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return id, body, err
}

func faultOf(body []byte) error {
	var f wirepb.Fault
	if err := proto.Unmarshal(body, &f); err != nil {
		return fmt.Errorf("unreadable fault: %w", err)
	}
	return &FailedError{fmt.Sprintf("code %d: %s", f.Code, f.Text)}
}
