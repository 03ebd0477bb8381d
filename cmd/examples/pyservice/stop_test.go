package pyservice_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/cmd/gen"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/discovery"
)

// gated is a service whose handler ends once a file exists.
const gated = `
import asyncio, os, sys
import translate_wind
from windservice import Service

class Handlers:
    async def Handler_TranslateRequest(client, request):
        open(request["text"] + ".begun", "w").close()
        while not os.path.exists(request["text"]):
            await asyncio.sleep(0.01)
        return {"text": "done"}

service = Service("translate", sys.argv[1], translate_wind, public=("TranslateRequest",))
service.client_handlers(Handlers)
asyncio.run(service.run(sys.argv[2], sys.argv[3]))
`

// TestStopFinishesWhatRuns: a client whose request runs while the service stops gets its answer through the gateway.
func TestStopFinishesWhatRuns(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	schema, err := gen.Load(t.Context(), gen.Source{Protos: []string{"translate.proto"}})
	if err != nil {
		t.Fatal(err)
	}
	files, err := schema.Files()
	if err != nil {
		t.Fatal(err)
	}
	p := i.run(t, interpreter, "translate-1", "-c", gated, "translate-1", i.nats, i.etcd)
	n, err := node.Start(t.Context(), node.Config{
		Game: arena.Game, Cluster: cluster, NATS: i.nats, Etcd: i.etcd, TCP: "127.0.0.1:0", NoShard: true,
		Gateway: &node.Gateway{Files: files}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Stop() }()
	c, err := client.DialRPC(t.Context(), client.RPCConfig{Addr: n.TCPAddr(), Transport: client.TCP, Format: rpc.JSON})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	gate := t.TempDir() + "/gate"
	messages := files[0].Messages()
	request := dynamicpb.NewMessage(messages.ByName("TranslateRequest"))
	request.Set(request.Descriptor().Fields().ByName("text"), protoreflect.ValueOfString(gate))
	answer := dynamicpb.NewMessage(messages.ByName("TranslateResponse"))
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ended <- c.Call(ctx, proto.Message(request), answer)
	}()
	i.eventually(t, "the handler runs", func() bool { _, err := os.Stat(gate + ".begun"); return err == nil })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	i.eventually(t, "it refuses others", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := i.translate(ctx, "translate-1", "bob", gate)
		var refused *rpc.Error
		return errors.As(err, &refused) && refused.Code == rpc.Unavailable && !refused.Maybe
	})
	if in, _ := i.directory.Instance("translate", "translate-1"); in.State != discovery.Draining {
		t.Errorf("while a request runs, the directory has %+v, want it draining", in)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the request that ran when the service was told to stop: %v", err)
	}
	if text := answer.Get(answer.Descriptor().Fields().ByName("text")).String(); text != "done" {
		t.Errorf("it was answered %q", text)
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
