package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// half returns a session with a gateway that opens it and passes its frames to then.
func half(t *testing.T, then func(conn net.Conn, id uint32, payload []byte)) *RPC {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r, b := frame.NewReader(frame.MaxFromClient), make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			r.Feed(b[:n])
			for id, payload, ok, _ := r.Next(); ok; id, payload, ok, _ = r.Next() {
				if id == wirepb.IDOpen {
					conn.Write(frame.AppendMessage(nil, wirepb.IDOpened, &wirepb.Opened{Gateway: "half"}))
					continue
				}
				then(conn, id, payload)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := DialRPC(ctx, RPCConfig{Addr: l.Addr().String(), Transport: TCP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func failed(t *testing.T, err error, code rpc.Code, maybe bool) {
	t.Helper()
	var e *rpc.Error
	if !errors.As(err, &e) || e.Code != code || e.Maybe != maybe {
		t.Errorf("%v, want %v with maybe %v", err, code, maybe)
	}
}

func TestCallsInFlightAreInDoubtWhenTheConnectionEnds(t *testing.T) {
	c := half(t, func(conn net.Conn, _ uint32, _ []byte) { conn.Close() })
	_, _, err := c.CallRaw(context.Background(), 1201, nil)
	failed(t, err, rpc.Unavailable, true)
	<-c.Done()
	_, _, err = c.CallRaw(context.Background(), 1201, nil)
	failed(t, err, rpc.Unavailable, false) // it was never sent
	failed(t, c.Send(&wirepb.TicketRequest{}), rpc.Unavailable, false)
}

func TestClosingASessionEndsItsCalls(t *testing.T) {
	var c *RPC
	got := make(chan struct{}, 1)
	c = half(t, func(net.Conn, uint32, []byte) {
		select {
		case got <- struct{}{}:
		default:
		}
	})
	answered := make(chan error, 1)
	if err := c.Go(1201, nil, 0, func(_ uint32, _ []byte, err error) { answered <- err }); err != nil {
		t.Fatal(err)
	}
	<-got
	c.Close()
	failed(t, <-answered, rpc.Unavailable, true)
	if !errors.Is(c.Err(), ErrClosed) {
		t.Errorf("it ended with %v", c.Err())
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	c := half(t, func(net.Conn, uint32, []byte) {})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, _, err := c.CallRaw(ctx, 1201, nil)
	failed(t, err, rpc.DeadlineExceeded, true)
	_, _, err = c.CallRaw(ctx, 1201, nil)
	failed(t, err, rpc.DeadlineExceeded, false)
}

func TestWhatCannotBeSentIsRefused(t *testing.T) {
	c := half(t, func(net.Conn, uint32, []byte) {})
	failed(t, c.Call(context.Background(), &emptypb.Empty{}, nil), rpc.InvalidArgument, false) // no frame id
	_, _, err := c.CallRaw(context.Background(), 1201, make([]byte, frame.MaxFromClient))
	failed(t, err, rpc.InvalidArgument, false)
}

func TestABrokenGatewayEndsTheSession(t *testing.T) {
	for name, answer := range map[string][]byte{
		"an answer without a number": frame.Append(nil, 1202|wirepb.IDCall, []byte{1}),
		"a frame that is too long":   {0, 0, 0, 0, 255, 255, 255, 255},
		"a damaged bye":              frame.Append(nil, wirepb.IDBye, []byte{0xFF}),
	} {
		c := half(t, func(conn net.Conn, _ uint32, _ []byte) { conn.Write(answer) })
		_, _, err := c.CallRaw(context.Background(), 1201, nil)
		failed(t, err, rpc.Unavailable, true)
		select {
		case <-c.Done():
		case <-time.After(20 * time.Second):
			t.Errorf("%s: the session goes on", name)
		}
	}
}

// TestACallHasTheAnswerThatItWants: another message, or none, is an error that names both, and resp stays as it was.
func TestACallHasTheAnswerThatItWants(t *testing.T) {
	for id, with := range map[uint32]string{wirepb.IDOpened: "message 2103", 0: "no message"} {
		c := half(t, func(conn net.Conn, _ uint32, payload []byte) {
			conn.Write(frame.Append(nil, id|wirepb.IDCall, payload[:4]))
		})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err := c.Call(ctx, &wirepb.TicketRequest{}, &wirepb.TicketResponse{})
		failed(t, err, rpc.Internal, true)
		if want := "TicketRequest was answered with " + with + ", want TicketResponse"; !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
		failed(t, c.Call(ctx, &wirepb.TicketRequest{}, &emptypb.Empty{}), rpc.InvalidArgument, false) // no frame id: any answer would do
	}
}
