package bus

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

func TestAdminErrors(t *testing.T) {
	srv := startNATS(t)
	served, err := openBus(t, srv).Serve(ServeConfig{Type: "game", ID: "game-0", Handler: echo, Admin: func(_ context.Context, op string, _ []byte) ([]byte, error) {
		if op == "array" {
			return []byte("[]"), nil
		}
		return nil, rpc.Errorf(rpc.Unimplemented, "no operation %q", op)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = served.Close(testContext(t)) })
	b, ctx := openBus(t, srv), testContext(t)
	_, err = b.Admin(ctx, "game", "game-0", "fly", nil)
	if text := wantError(t, err, rpc.Unimplemented, false); text != `no operation "fly"` {
		t.Fatal(text)
	}
	_, err = b.Admin(ctx, "game", "game-7", "stats", nil)
	wantError(t, err, rpc.Unavailable, false)
	_, err = b.Admin(ctx, "game", "game-0", "array", nil)
	wantError(t, err, rpc.Internal, false)
	_, err = b.Admin(ctx, "game", "game-0", "stats", []byte("{"))
	wantError(t, err, rpc.InvalidArgument, false)
	for _, body := range []string{"", "x", "[]", `{"op":7}`, `{}`} {
		m, err := b.nc.Request("windrpc.dev.game.admin.game-0", []byte(body), 20*time.Second)
		if err != nil || m.Header.Get(headerCode) != "3" || !strings.HasPrefix(string(m.Data), `{"ok":false,"instance":"game-0","code":3,"error":"an admin request`) {
			t.Fatalf("%q: %v %s %v", body, m.Header, m.Data, err)
		}
	}
}

func TestTooManyAdminOperationsAreRefused(t *testing.T) {
	srv := startNATS(t)
	var running sync.WaitGroup
	running.Add(maxAdmins)
	served, err := openBus(t, srv).Serve(ServeConfig{Type: "game", ID: "game-0", Handler: echo, Admin: func(ctx context.Context, op string, body []byte) ([]byte, error) {
		running.Done()
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	if err != nil {
		t.Fatal(err)
	}
	b := openBus(t, srv)
	var group sync.WaitGroup
	for range maxAdmins {
		group.Go(func() {
			if _, err := b.Admin(testContext(t), "game", "game-0", "wait", nil); err == nil {
				t.Error("it was canceled and says nothing")
			}
		})
	}
	running.Wait()
	_, err = b.Admin(testContext(t), "game", "game-0", "wait", nil)
	wantError(t, err, rpc.ResourceExhausted, false)
	if err := served.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	group.Wait()
}
