package node

import (
	"context"
	"net/http"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/shard"
)

// hangs is a handler that neither returns nor suspends until its gate opens.
type hangs struct{ gate chan struct{} }

func (h hangs) SpeakOnWorldRequest(*service.Ctx, *speakpb.SpeakOnWorldRequest) (*speakpb.SpeakOnWorldResponse, error) {
	<-h.gate
	return &speakpb.SpeakOnWorldResponse{}, nil
}

// TestAServiceThatHangsGetsNobodyNew: it gets no new players, and /healthz says so, until it answers again.
func TestAServiceThatHangsGetsNobodyNew(t *testing.T) {
	s := startServers(t)
	h := hangs{make(chan struct{})}
	c := s.config("game-1", fstest.MapFS{})
	c.HTTP = "127.0.0.1:0"
	c.Services[0].Handlers = func() (client, server []any) { return nil, []any{h} }
	n := s.start(t, c)
	health := func() int {
		r, err := http.Get("http://" + n.httpAddr + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode
	}
	picked := func() bool {
		_, ok := s.cluster.Directory.Pick("game", "ann")
		return ok
	}
	s.eventually(t, "it is picked, and healthy", func() bool { return picked() && health() == http.StatusOK })
	answered := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := s.cluster.Bus.Call(ctx, rpc.Address{Type: "game"}, rpc.Request{Message: "SpeakOnWorldRequest", From: "test/1"})
		answered <- err
	}()
	s.eventually(t, "nobody is sent there, and it is unwell", func() bool { return !picked() && health() == http.StatusServiceUnavailable })
	if all := n.Stats().Conditions; len(all) != 1 || all[0].Kind != shard.Hung {
		t.Errorf("conditions %+v", all)
	}
	close(h.gate)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	s.eventually(t, "it is picked again, and healthy", func() bool { return picked() && health() == http.StatusOK })
}
