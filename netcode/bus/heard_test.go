package bus

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// TestHeard: a bus tells of each request to an instance by name whether it was answered. It says nothing of requests that
// reached nobody, of those whose sender hardly waited, and of those that NATS has assigned.
func TestHeard(t *testing.T) {
	s := startNATS(t)
	serve(t, openBus(t, s), "game", "answers", echo)
	serve(t, openBus(t, s), "game", "refuses", handlerFunc(func(*rpc.Request) rpc.Response {
		return rpc.Response{Err: rpc.Errorf(rpc.NotFound, "no")}
	}))
	frozen := dial(t, s.ClientURL())
	if _, err := frozen.Subscribe("windrpc.dev.game.id.frozen", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := frozen.Flush(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 64)
	b, err := Open(Config{Conn: dial(t, s.ClientURL()), Cluster: "dev", Logger: slog.New(slog.DiscardHandler), Heard: func(serviceType, instance string, answered bool) {
		heard <- fmt.Sprint(serviceType, "/", instance, " ", answered)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	call := func(id string, timeout time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		_, _ = b.Call(ctx, rpc.Address{Type: "game", ID: id}, rpc.Request{Message: "A", From: "test/1"}) // what matters is what is heard
	}
	call("frozen", 20*time.Millisecond)
	call("absent", time.Minute)
	call("", time.Minute)
	call("answers", time.Minute)
	call("refuses", time.Minute)
	call("frozen", 4*time.Second)
	ended := make(chan rpc.Response, 1)
	b.Send("game", "frozen", &rpc.Request{Message: "A", From: "gateway/1", Timeout: patience}, func(r rpc.Response) { ended <- r })
	<-ended
	call("answers", time.Minute)
	b.Close()
	close(heard)
	want := []string{"game/answers true", "game/refuses true", "game/frozen false", "game/frozen false", "game/answers true"}
	var got []string
	for x := range heard {
		got = append(got, x)
	}
	if !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}
