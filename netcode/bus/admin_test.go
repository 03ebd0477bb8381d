package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// scripted is a service whose scripts can be reloaded, and that can be told to fail.
type scripted struct {
	mu       sync.Mutex
	id       string
	fail     map[string]string // op: error; "silent" does not answer
	prepared map[string][]script.Module
	force    []script.Module
	ops      []string
}

func (s *scripted) admin(ctx context.Context, op string, body []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops = append(s.ops, op)
	switch f := s.fail[op]; f {
	case "":
	case "lost": // it does it and cannot say so
		s.force = s.prepared[slices.Collect(keysOf(s.prepared))[0]]
		return nil, errors.New("the answer was lost")
	default:
		return nil, errors.New(f)
	}
	switch op {
	case "prepare":
		step, err := ParseReload(body)
		if err != nil {
			return nil, err
		}
		s.prepared[step.Reload] = step.Replacing(s.force)
		return []byte(`{"report":{"changed":["` + step.Modules[0].Name + `"]}}`), nil
	case "commit", "abort":
		step, err := ParseReload(body)
		if err != nil {
			return nil, err
		}
		if op == "commit" {
			s.force = s.prepared[step.Reload]
		}
		delete(s.prepared, step.Reload)
		return nil, nil
	case "scripts":
		return json.Marshal(map[string]any{"modules": ModulesJSON(s.force, false)})
	case "array":
		return []byte("[]"), nil
	}
	return nil, rpc.Errorf(rpc.Unimplemented, "no operation %q", op)
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

var modules = []script.Module{{Name: "handlers_client/x.star", Source: []byte("def Handler_A(client, request):\n    return \"é\\n\"\n")}}

// scriptedServices serves n instances and returns a bus of somebody else.
func scriptedServices(t *testing.T, n int) (*Bus, []*scripted, ReloadConfig) {
	t.Helper()
	srv := startNATS(t)
	c := ReloadConfig{Type: "game", Modules: modules}
	var all []*scripted
	for i := range n {
		s := &scripted{id: fmt.Sprintf("game-%d", i), fail: map[string]string{}, prepared: map[string][]script.Module{}}
		served, err := openBus(t, srv).Serve(ServeConfig{Type: "game", ID: s.id, Handler: echo, Admin: s.admin})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = served.Close(testContext(t)) })
		all = append(all, s)
		c.Instances = append(c.Instances, s.id)
	}
	return openBus(t, srv), all, c
}

// runNew reports which instances have the new scripts in force.
func runNew(all []*scripted) (ids []string) {
	for _, s := range all {
		s.mu.Lock()
		if len(s.force) == 1 && s.force[0].SHA256() == modules[0].SHA256() && len(s.prepared) == 0 {
			ids = append(ids, s.id)
		}
		s.mu.Unlock()
	}
	return ids
}

func TestReloadCommitsEverywhere(t *testing.T) {
	b, all, c := scriptedServices(t, 3)
	r, err := b.Reload(testContext(t), c)
	if err != nil || r.State != Committed || len(runNew(all)) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := string(r.Instances[2].Report); got != `{"changed":["handlers_client/x.star"]}` {
		t.Fatalf("report %s", got)
	}
}

func TestWholeReloadLeavesNothingElseInForce(t *testing.T) {
	b, all, c := scriptedServices(t, 2)
	odd := script.Module{Name: "lib/odd.star", Source: []byte("ODD = 1\n")}
	all[1].force = []script.Module{odd} // one instance alone has it
	c.Whole = true
	if r, err := b.Reload(testContext(t), c); err != nil || r.State != Committed {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := all[1].force; len(got) != 2 || got[1].Name != odd.Name || got[1].Source != nil {
		t.Fatalf("it is to replace %+v", got)
	}
	if got := all[0].force; len(got) != 1 {
		t.Fatalf("it is to replace %+v", got)
	}
	// A commit that fails where something else is in force has not happened.
	all[1].fail["commit"] = "it expired"
	all[1].force = append([]script.Module{odd}, modules...)
	if r, err := b.Reload(testContext(t), c); r.Instances[1].State != Refused || err == nil {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	b, all, c := scriptedServices(t, 2)
	c.DryRun = true
	r, err := b.Reload(testContext(t), c)
	if err != nil || r.State != Checked || len(runNew(all)) != 0 || r.Instances[1].Report == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := all[0].ops; !slices.Equal(got, []string{"prepare", "abort"}) {
		t.Fatalf("operations %q", got)
	}
}

func TestReloadThatOneRefusesChangesNothing(t *testing.T) {
	b, all, c := scriptedServices(t, 3)
	all[1].fail["prepare"] = "handlers_client/x.star:3:5: undefined: nope"
	r, err := b.Reload(testContext(t), c)
	wantError(t, err, rpc.FailedPrecondition, false)
	if r.State != Refused || len(runNew(all)) != 0 || !strings.Contains(err.Error(), "game-1: handlers_client/x.star:3:5: undefined: nope") {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, s := range all {
		if len(s.prepared) != 0 || slices.Contains(s.ops, "commit") {
			t.Fatalf("%s: %q", s.id, s.ops)
		}
	}
	c.Instances = append(c.Instances, "game-9")
	all[1].fail = map[string]string{}
	r, err = b.Reload(testContext(t), c)
	if err == nil || r.State != Refused || len(runNew(all)) != 0 || !strings.Contains(err.Error(), "game-9 is not there") {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := b.Reload(testContext(t), ReloadConfig{Type: "game"}); err == nil {
		t.Fatal("no instance")
	}
}

func TestCommitThatFailsIsLookedAt(t *testing.T) {
	b, all, c := scriptedServices(t, 3)
	all[1].fail["commit"] = "it expired"
	r, err := b.Reload(testContext(t), c)
	wantError(t, err, rpc.Aborted, true)
	if r.State != Mixed || r.Instances[1].State != Refused || r.Instances[0].State != Committed || !strings.Contains(err.Error(), "game-0, game-2 run the new scripts; game-1 run the old ones") {
		t.Fatalf("%+v, %v", r, err)
	}
	all[1].fail["scripts"] = "no"
	if r, err = b.Reload(testContext(t), c); r.Instances[1].State != Unknown || r.State != Mixed || err == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	all[1].fail = map[string]string{"commit": "lost"}
	if r, err = b.Reload(testContext(t), c); r.State != Committed || err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, s := range all {
		s.fail = map[string]string{"commit": "it expired"}
		s.force = nil
	}
	if r, err = b.Reload(testContext(t), c); r.State != Refused || err == nil {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestAdminErrors(t *testing.T) {
	b, _, _ := scriptedServices(t, 1)
	ctx := testContext(t)
	_, err := b.Admin(ctx, "game", "game-0", "fly", nil)
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
	if _, err := ParseReload([]byte(`{"reload":"1","modules":[{"name":"a.star","source":"x","sha256":"00"}]}`)); err == nil {
		t.Fatal("a damaged source")
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
