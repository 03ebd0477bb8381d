package gateway_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

func unmarshal(f rpc.Format, b []byte, m proto.Message) {
	var err error
	if f == rpc.JSON {
		err = protojson.Unmarshal(b, m)
	} else {
		err = proto.Unmarshal(b, m)
	}
	if err != nil {
		panic(err)
	}
}

func write(r *rpc.Request, m proto.Message) rpc.Response {
	a := rpc.Response{Message: string(m.ProtoReflect().Descriptor().Name()), Format: r.Format}
	var err error
	if r.Format == rpc.JSON {
		a.Payload, err = protojson.Marshal(m)
	} else {
		a.Payload, err = proto.Marshal(m)
	}
	if err != nil {
		panic(err)
	}
	return a
}

// pushes collects a client's pushes.
type pushes struct {
	mu  sync.Mutex
	got []string // the id and the text of each push
}

func (p *pushes) on(id uint32, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, string(payload))
}

func (p *pushes) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.got...)
}

// way is how a client reaches a gateway.
type way struct {
	name string
	cfg  func(t testing.TB, f *front) client.RPCConfig
}

var ways = []way{
	{"tcp", func(_ testing.TB, f *front) client.RPCConfig {
		return client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP}
	}},
	{"kcp", func(_ testing.TB, f *front) client.RPCConfig {
		return client.RPCConfig{Addr: f.server.UDPAddr().String(), Transport: client.UDP}
	}},
	{"websocket", func(t testing.TB, f *front) client.RPCConfig {
		return client.RPCConfig{Addr: webSocket(t, f), Transport: client.WebSocket}
	}},
}

// webSocket mounts a front's WebSocket and returns its URL.
func webSocket(t testing.TB, f *front) string {
	h := httptest.NewServer(f.server.WebSocket())
	t.Cleanup(h.Close)
	return "ws" + strings.TrimPrefix(h.URL, "http")
}

// everyWay runs a test over each transport, and with JSON over the first.
func everyWay(t *testing.T, f *front, test func(t *testing.T, cfg client.RPCConfig)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { test(t, w.cfg(t, f)) })
	}
	t.Run("tcp json", func(t *testing.T) {
		cfg := ways[0].cfg(t, f)
		cfg.Format = rpc.JSON
		test(t, cfg)
	})
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func dial(t testing.TB, cfg client.RPCConfig) *client.RPC {
	t.Helper()
	c, err := client.DialRPC(soon(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// login connects a player, over TCP unless cfg says otherwise.
func login(t testing.TB, f *front, player string, cfg client.RPCConfig) *client.RPC {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr, cfg.Transport = f.server.TCPAddr().String(), client.TCP
	}
	c := dial(t, cfg)
	if err := c.Call(soon(t), &testpb.PlayerLoginRequest{PlayerId: player}, new(testpb.PlayerLoginResponse)); err != nil {
		t.Fatalf("login of %s: %v", player, err)
	}
	return c
}

// echo asks which instance has a player.
func echo(t testing.TB, c *client.RPC, text string) *testpb.EchoResponse {
	t.Helper()
	var m testpb.EchoResponse
	if err := c.Call(soon(t), &testpb.EchoRequest{Text: text}, &m); err != nil {
		t.Fatalf("echo %s: %v", text, err)
	}
	return &m
}

// fault returns the fault of a failed call; the test fails if the call succeeded.
func fault(t testing.TB, err error) *rpc.Error {
	t.Helper()
	var e *rpc.Error
	if !errors.As(err, &e) {
		t.Fatalf("the call ends with %v, want a fault", err)
	}
	return e
}

func call(c *client.RPC, t testing.TB, m proto.Message) error { return c.Call(soon(t), m, nil) }

// raw is a client that writes its frames by hand.
type raw struct {
	t      testing.TB
	conn   net.Conn
	reader *frame.Reader
}

func dialRaw(t testing.TB, f *front) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", f.server.TCPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{t, conn, frame.NewReader(frame.MaxFromServer)}
}

func (r *raw) send(id uint32, m proto.Message) {
	r.t.Helper()
	r.write(frame.AppendMessage(nil, id, m))
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// call writes a call by hand.
func (r *raw) call(id, number, timeoutMS uint32, m proto.Message) {
	b := binary.LittleEndian.AppendUint32(nil, number)
	b = binary.LittleEndian.AppendUint32(b, timeoutMS)
	b, _ = proto.MarshalOptions{}.MarshalAppend(b, m)
	r.write(frame.Append(nil, id|wirepb.IDCall, b))
}

// next reads the next frame.
func (r *raw) next() (id uint32, payload []byte) {
	r.t.Helper()
	b := make([]byte, 4096)
	for {
		id, payload, ok, err := r.reader.Next()
		if err != nil {
			r.t.Fatal(err)
		}
		if ok {
			return id, payload
		}
		n, err := r.conn.Read(b)
		r.reader.Feed(b[:n])
		if err != nil {
			r.t.Fatalf("the connection ends: %v", err)
		}
	}
}

// expect reads the next frame, which must have the given id.
func (r *raw) expect(id uint32, m proto.Message) {
	r.t.Helper()
	got, payload := r.next()
	if got != id {
		var f wirepb.Fault
		_ = proto.Unmarshal(payload, &f)
		r.t.Fatalf("got message %d (%v), want %d", got, &f, id)
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		r.t.Fatal(err)
	}
}

// bye returns the reason why the server ended the connection.
func (r *raw) bye() wirepb.Reason {
	r.t.Helper()
	for {
		id, payload := r.next()
		if id == wirepb.IDBye {
			var m wirepb.Bye
			if err := proto.Unmarshal(payload, &m); err != nil {
				r.t.Fatal(err)
			}
			return m.Reason
		}
	}
}

func encode(f rpc.Format, m proto.Message) []byte { return write(&rpc.Request{Format: f}, m).Payload }
