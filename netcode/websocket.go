package netcode

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// WebSocket returns a handler that accepts connections over HTTP, with the door's
// peers and limits. Binary messages carry the byte stream of TCP; text messages
// go to the gateway (Stream.Text). A browser's page must come from the host that it
// connects to, or from one of Config.Origins. Connections outlive the HTTP server;
// Close ends them.
func (d *Door) WebSocket() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := newTCPConn(d, nil)
		under := &tap{take: c.takeBytes}
		control := func(context.Context, []byte) bool { return under.count(c.takeFrame()) }
		ws, err := websocket.Accept(&tapped{w, under}, r, &websocket.AcceptOptions{
			OriginPatterns: d.cfg.Origins, CompressionMode: websocket.CompressionDisabled,
			OnPingReceived: control, OnPongReceived: func(ctx context.Context, b []byte) { control(ctx, b) },
		})
		if err != nil {
			return // Accept has sent the error
		}
		ws.SetReadLimit(-1) // frames and text messages have limits of their own
		addr, _ := netip.ParseAddrPort(r.RemoteAddr)
		conn := newWSConn(ws, under)
		conn.onEmpty = func() { under.count(c.takeFrame()) }
		conn.onText = func() { c.conn.text.Store(true) }
		if c.raw = conn; !c.open(addr) {
			c.raw.Close()
		}
	})
}

// wsConn presents a WebSocket as a stream of frames. A text message becomes a frame
// with the id textID.
type wsConn struct {
	ws       *websocket.Conn
	under    *tap
	reading  context.Context
	stopRead context.CancelFunc
	message  io.Reader            // the rest of a binary message
	begun    bool                 // message is not empty
	onEmpty  func()               // called for an empty binary message
	frame    []byte               // the rest of a text message, as a frame
	kind     atomic.Int32         // type of the first message; 0 before it
	onText   func()               // called when that is text
	status   websocket.StatusCode // of the closing handshake
	reason   string               // likewise

	mu       sync.Mutex
	deadline time.Time   // of the current and later writes
	timer    *time.Timer // of the current write; nil: none
}

func newWSConn(ws *websocket.Conn, under *tap) *wsConn {
	c := &wsConn{ws: ws, under: under, status: websocket.StatusNormalClosure}
	c.reading, c.stopRead = context.WithCancel(context.Background())
	return c
}

// isText reports whether the client's first message was text.
func (c *wsConn) isText() bool { return c.kind.Load() == int32(websocket.MessageText) }

func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if len(c.frame) > 0 {
			n := copy(p, c.frame)
			c.frame = c.frame[n:]
			return n, nil
		}
		if c.message == nil {
			if err := c.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := c.message.Read(p)
		c.begun = c.begun || n > 0
		if errors.Is(err, io.EOF) {
			c.message, err = nil, nil
			if !c.begun {
				c.onEmpty()
			}
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next waits for the next message.
func (c *wsConn) next() error {
	kind, r, err := c.ws.Reader(c.reading)
	if err != nil {
		return err
	}
	if c.kind.CompareAndSwap(0, int32(kind)) && kind == websocket.MessageText {
		c.onText()
	}
	if c.kind.Load() != int32(kind) {
		return &endError{wirepb.Reason_REASON_PROTOCOL, "a connection cannot mix text and binary messages"}
	}
	if kind == websocket.MessageBinary {
		c.message, c.begun = r, false
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r, frame.MaxFromClient+1))
	if err != nil {
		return err
	}
	if len(text) > frame.MaxFromClient {
		return &endError{wirepb.Reason_REASON_FRAME_TOO_LARGE, fmt.Sprintf("a text message has more than %d bytes", frame.MaxFromClient)}
	}
	c.frame = frame.Append(nil, textID, text)
	return nil
}

// Write sends whole frames.
func (c *wsConn) Write(frames []byte) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.mu.Lock()
	c.timer = time.AfterFunc(time.Until(c.deadline), cancel)
	c.mu.Unlock()
	err := c.write(ctx, frames)
	c.mu.Lock()
	c.timer.Stop()
	c.timer = nil
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return len(frames), nil
}

func (c *wsConn) write(ctx context.Context, frames []byte) error {
	text := c.isText()
	for rest := frames; len(rest) > 0; {
		id, end := binary.LittleEndian.Uint32(rest), frame.HeaderSize+int(binary.LittleEndian.Uint32(rest[4:]))
		message := rest[frame.HeaderSize:end]
		if id == wirepb.IDBye {
			message = c.bye(message)
		}
		rest = rest[end:]
		if !text {
			continue
		}
		if err := c.ws.Write(ctx, websocket.MessageText, message); err != nil {
			return err
		}
	}
	if text {
		return nil
	}
	return c.ws.Write(ctx, websocket.MessageBinary, frames)
}

// bye returns a Bye as a text message, and keeps its status and text for the
// WebSocket's closing handshake.
func (c *wsConn) bye(payload []byte) []byte {
	var m wirepb.Bye
	_ = proto.Unmarshal(payload, &m) // cannot fail: the server encoded it
	c.status, c.reason = websocket.StatusPolicyViolation, m.Text
	switch m.Reason {
	case wirepb.Reason_REASON_LEFT:
		c.status = websocket.StatusNormalClosure
	case wirepb.Reason_REASON_SHUTDOWN:
		c.status = websocket.StatusGoingAway
	}
	b, _ := json.Marshal(map[string]any{"bye": map[string]string{"reason": m.Reason.String(), "text": m.Text}}) // cannot fail: it has only strings
	return b
}

// CloseWrite sends a close frame and waits until the client's arrives or the read
// deadline passes.
func (c *wsConn) CloseWrite() error {
	const most = 120 // a close frame holds 123 bytes
	reason := c.reason
	if len(reason) > most {
		reason = strings.ToValidUTF8(reason[:most], "")
	}
	return c.ws.Close(c.status, reason)
}

func (c *wsConn) Close() error {
	c.stopRead()
	return c.ws.CloseNow()
}

// SetReadDeadline begins the end of a connection; call it once. The connection then
// reads and drops what still arrives until the client's close frame, for no longer
// than t and for no more bytes than a tap drains.
func (c *wsConn) SetReadDeadline(t time.Time) error {
	c.under.end(t)
	timer := time.AfterFunc(time.Until(t), c.stopRead)
	context.AfterFunc(c.reading, func() { timer.Stop() })
	return nil
}

func (c *wsConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.timer != nil {
		c.timer.Reset(time.Until(t))
	}
	return nil
}
