package pyservice_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard"
)

// hangs is a service whose handlers go on until a file exists: "block FILE" holds the event loop, "swallow FILE" ignores its
// cancellation, "thread FILE" waits for a thread that does not end.
const hangs = `
import asyncio, os, sys, time
import translate_wind
from windmain import main

def wait(file):
    while not os.path.exists(file):
        time.sleep(0.01)

class Handlers:
    async def Handler_TranslateRequest(client, request):
        how, _, file = request["text"].partition(" ")
        if how == "call":
            await client.service.call("translate", "S_LearnRequest", {})
        elif how == "block":
            wait(file)
        elif how == "thread":
            await asyncio.to_thread(wait, file)
        while how == "swallow" and not os.path.exists(file):
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                pass
        return {"text": client.service.instance}

class Server:
    async def Handler_S_LearnRequest(caller, request):
        return {"known": 1}

sys.exit(main("translate", translate_wind, client=Handlers, server=Server, public=("TranslateRequest",), ttl=2, drain=0.5))
`

func (i *infra) startHangs(t *testing.T, interpreter, id string, more ...string) *process {
	t.Helper()
	return i.run(t, interpreter, id, append([]string{"-c", hangs, "--nats", i.nats, "--etcd", i.etcd, "--id", id}, more...)...)
}

// ask sends a request that waits at most a second for its answer.
func (i *infra) ask(t *testing.T, instance, player, text string) (string, *rpc.Error) {
	t.Helper()
	return i.askWithin(t, time.Second, instance, player, text)
}

func (i *infra) askWithin(t *testing.T, timeout time.Duration, instance, player, text string) (string, *rpc.Error) {
	t.Helper()
	payload, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := i.bus.Call(ctx, rpc.Address{Type: "translate", ID: instance}, rpc.Request{
		Message: "TranslateRequest", Format: rpc.JSON, Payload: payload, Player: player, Session: "gw/1", From: "gateway/gw", Timeout: timeout,
	})
	var failed *rpc.Error
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	var answer struct{ Text string }
	if err == nil {
		if err := json.Unmarshal(r.Payload, &answer); err != nil {
			t.Fatal(err)
		}
	}
	return answer.Text, failed
}

// health returns an instance's answer of /healthz, which must have the form of a node's.
func health(t *testing.T, address string) (int, node.Health) {
	t.Helper()
	answer, err := http.Get("http://" + address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var h node.Health
	strict := json.NewDecoder(answer.Body)
	strict.DisallowUnknownFields()
	if err := strict.Decode(&h); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, h
}

// TestHandlerThatHangsIsTold: the directory says what hangs, for as long as it does. Meanwhile the instance keeps its entry
// and its players, and others answer the requests that any instance may answer.
func TestHandlerThatHangsIsTold(t *testing.T) {
	interpreter := python(t)
	for _, how := range []string{"block", "swallow"} {
		t.Run(how, func(t *testing.T) {
			i := startInfra(t)
			address := nodetest.Addr(t)
			p := i.startHangs(t, interpreter, "translate-1", "--http", address)
			i.startHangs(t, interpreter, "translate-2")
			if status, h := health(t, address); status != http.StatusOK || !h.Healthy || h.Node != "translate-1" || h.Addresses["http"] != address || len(h.Services) != 1 || h.Services[0].Type != "translate" {
				t.Errorf("/healthz: %d, %+v", status, h)
			}
			gate := t.TempDir() + "/gate"
			ended := make(chan *rpc.Error, 1)
			go func() { _, err := i.ask(t, "translate-1", "alice", how+" "+gate); ended <- err }()
			hung := func() string { in, _ := i.directory.Instance("translate", "translate-1"); return in.Hung }
			i.eventually(t, "it is told", func() bool { return hung() != "" })
			told := time.Now()
			want := map[string]string{"block": "the handler of TranslateRequest has held the thread of the service since ", "swallow": "the handler of TranslateRequest goes on after it was canceled at "}
			if text := hung(); !strings.HasPrefix(text, want[how]) || !strings.Contains(text, ` with a request of "alice": no other request`) {
				t.Errorf("the directory says %q", text)
			}
			if status, h := health(t, address); status != http.StatusServiceUnavailable || h.Healthy || len(h.Conditions) != 1 || h.Conditions[0].Kind != shard.Hung ||
				!h.Conditions[0].Stops || !strings.Contains(h.Conditions[0].Text, want[how]) || time.Since(h.Conditions[0].Since) > time.Minute {
				t.Errorf("/healthz: %d, %+v", status, h)
			}
			for range 30 {
				if text, err := i.ask(t, "", "bob", "x"); err != nil || text != "translate-2" {
					t.Fatalf("a request to any instance: %q, %v", text, err)
				}
			}
			text, err := i.ask(t, "translate-1", "bob", "x")
			if how == "block" && (err == nil || err.Code != rpc.DeadlineExceeded || err.Maybe) || how == "swallow" && (err != nil || text != "translate-1") {
				t.Errorf("another player: %q, %v", text, err)
			}
			if _, err := i.ask(t, "translate-1", "alice", "x"); err == nil || err.Code != rpc.DeadlineExceeded || err.Maybe {
				t.Errorf("the same player: %v", err)
			}
			stats, bad := i.bus.Admin(t.Context(), "translate", "translate-1", "stats", nil)
			if bad != nil || !strings.Contains(string(stats), "stalled_seconds") {
				t.Errorf("its stats: %s, %v", stats, bad)
			}
			i.eventually(t, "two leases have passed", func() bool {
				if in, ok := i.directory.Instance("translate", "translate-1"); !ok || in.Hung == "" {
					t.Fatalf("after %s the directory has %+v", time.Since(told), in)
				}
				return time.Since(told) > 6*time.Second
			})
			if err := os.WriteFile(gate, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Log("the request that hung: ", <-ended)
			i.eventually(t, "it answers again", func() bool { return hung() == "" })
			i.eventually(t, "it has its share again", func() bool { text, err := i.ask(t, "", "bob", "x"); return err == nil && text == "translate-1" })
			if err := p.end(t, syscall.SIGTERM); err != nil {
				t.Errorf("it ended with %v", err)
			}
			if log := p.log.String(); !strings.Contains(log, "a handler hangs: "+want[how]) || !strings.Contains(log, "the instance answers again; what had kept it from answering: ") || how == "block" && !strings.Contains(log, "<string>:8 in wait") {
				t.Errorf("it logged\n%s", log)
			}
		})
	}
}

// TestHandlerThatHangsCannotHoldUpAStop: the process ends with an error, and leaves the directory.
func TestHandlerThatHangsCannotHoldUpAStop(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	for _, how := range []string{"block", "swallow", "thread", "block, told by an operator"} {
		t.Run(how, func(t *testing.T) {
			p := i.startHangs(t, interpreter, "translate-1")
			kind, _, operator := strings.Cut(how, ",")
			ended := make(chan *rpc.Error, 1)
			go func() { _, err := i.ask(t, "translate-1", "alice", kind+" "+t.TempDir()+"/never"); ended <- err }()
			if err := <-ended; err == nil || err.Code != rpc.DeadlineExceeded {
				t.Errorf("its request: %v", err)
			}
			if operator {
				if _, err := i.bus.Admin(t.Context(), "translate", "translate-1", "stop", nil); err != nil {
					t.Error(err)
				}
			}
			if err := p.end(t, syscall.SIGTERM); err == nil {
				t.Error("it ended without an error")
			}
			i.eventually(t, "it left", func() bool { return !i.directory.Alive("translate", "translate-1") })
			if log := p.log.String(); !strings.Contains(log, "the process ends although it has not finished: ") || kind != "thread" && !strings.Contains(log, "the handler of TranslateRequest") {
				t.Errorf("it logged\n%s", log)
			}
		})
	}
}
