package etcd

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/wait"
	"github.com/ferris1/wind/persistence/wait/waittest"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/room"
)

// TestEveryCallToEtcdIsBounded searches this package's source for unbounded calls of etcd's client.
func TestEveryCallToEtcdIsBounded(t *testing.T) {
	methods := waittest.Methods(reflect.TypeFor[*clientv3.Client](), reflect.TypeFor[clientv3.KV](), reflect.TypeFor[clientv3.Lease](),
		reflect.TypeFor[clientv3.Watcher](), reflect.TypeFor[clientv3.Maintenance](), reflect.TypeFor[clientv3.Cluster]())
	waittest.Bounded(t, append(methods, "NewSession", "Lock"), []string{"For", "Call", "asks"}, map[string]string{
		"Shard.forget":   "its callers' bound",
		"Shard.raise":    "its callers' bound",
		"Shard.also":     "its callers' bound",
		"Shard.removeAt": "its callers' bound",
		"Shard.watch":    "Await probes beside it and cancels it",
		"source.Watch":   "a timer bounds its begin, and whoever follows it probes beside it",
	})
}

// TestEveryCallEndsWhenEtcdIsSilent silences etcd behind an open connection and makes every call.
func TestEveryCallEndsWhenEtcdIsSilent(t *testing.T) {
	t.Parallel()
	s, err := StartServer(t.Context(), ServerConfig{Dir: t.TempDir(), Development: true})
	if err != nil {
		t.Fatal(err)
	}
	between := waittest.NewProxy(t, s.Addr())
	c, err := Dial(t.Context(), between.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := Join(t.Context(), c, NodeConfig{Cluster: "test", ID: "a", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	sh, err := n.Shard("main")
	if err != nil {
		t.Fatal(err)
	}
	claim(t, n, sh)
	st := read(t, sh)
	between.Hold(waittest.ToClient, true)
	t.Cleanup(func() {
		between.Hold(waittest.ToClient, false)
		if err := errors.Join(n.Close(context.Background()), c.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	ctx := wait.With(t.Context(), wait.NewList(nil))
	directory, err := Services(c, "test")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"Shard.Read":  func() error { _, err := sh.Read(ctx); return err },
		"Shard.Await": func() error { return sh.Await(ctx, st) },
		"Shard.Claim": func() error {
			_, err := sh.Claim(ctx, shard.Bid{Node: "a", Epoch: 9, Lineage: "lineage-1"})
			return err
		},
		"Shard.AgreeLineage": func() error { _, err := sh.AgreeLineage(ctx, "x"); return err },
		"Shard.Note":         func() error { return sh.Note(ctx, shard.Note{High: persistence.Mark{Seq: 9, Epoch: 1}}) },
		"Shard.Release":      func() error { return sh.Release(ctx, 9, true) },
		"Shard.TakeOver":     func() error { _, err := sh.TakeOver(ctx, st); return err },
		"Shard.AcceptLoss":   func() error { _, err := sh.AcceptLoss(ctx, 1); return err },
		"Shard.Lift":         func() error { return sh.Lift(ctx) },
		"Node.Register":      func() error { _, err := n.Register(ctx, discovery.Instance{Type: "game", ID: "g"}); return err },
		"Node.Vacant":        func() error { return n.Vacant(ctx, "game", "g") },
		"Node.KeepRoom":      func() error { _, _, err := n.KeepRoom(ctx, "r-1"); return err },
		"Node.LeaveRoom":     func() error { return n.LeaveRoom(ctx, "r-1") },
		"Node.SetHung":       func() error { return n.SetHung(ctx, "a step") },
		"Node.Close": func() error { // on a separate node, which it ends
			other := &Node{cfg: n.cfg, client: c, cancel: func() {}}
			return other.Close(ctx)
		},
		"Dial":            func() error { _, err := Dial(ctx, between.Addr()); return err },
		"Join":            func() error { _, err := Join(ctx, c, NodeConfig{Cluster: "test", ID: "b"}); return err },
		"CreateRoom":      func() error { _, _, err := CreateRoom(ctx, c, "test", "r-1", room.Spec{Game: "arena"}); return err },
		"EndRoom":         func() error { return EndRoom(ctx, c, "test", "r-1", "lineage-1", room.End{}, 0) },
		"ReadRoom":        func() error { _, err := ReadRoom(ctx, c, "test", "r-1"); return err },
		"CancelRoom":      func() error { _, err := CancelRoom(ctx, c, "test", "r-1", room.End{}); return err },
		"MoveRoom":        func() error { _, _, _, err := MoveRoom(ctx, c, "test", "r-1", room.End{}, 1); return err },
		"LookRoom":        func() error { _, _, err := LookRoom(ctx, c, "test", "r-1"); return err },
		"ForgetRoom":      func() error { _, err := ForgetRoom(ctx, c, "test", "r-1", 1); return err },
		"Clusters":        func() error { _, err := Clusters(ctx, c); return err },
		"Lock":            func() error { _, err := Lock(ctx, c, "test", "l"); return err },
		"Shards":          func() error { _, err := Shards(ctx, c, "test"); return err },
		"SpaceOf":         func() error { _, err := SpaceOf(ctx, c); return err },
		"Nodes":           func() error { _, err := Nodes(ctx, c, "test"); return err },
		"SharedKey":       func() error { _, err := SharedKey(ctx, c, "test", "k"); return err },
		"source.List":     func() error { _, _, err := directory.List(ctx); return err },
		"source.Revision": func() error { _, err := directory.Revision(ctx); return err },
		"source.Watch":    func() error { return directory.Watch(ctx, st.Revision, func(discovery.Changes) {}) },
	}
	for _, m := range waittest.Methods(reflect.TypeFor[*Shard]()) {
		if calls["Shard."+m] == nil {
			t.Errorf("Shard.%s is not called here", m)
		}
	}
	for _, m := range waittest.Methods(reflect.TypeFor[*Node]()) {
		if calls["Node."+m] == nil {
			t.Errorf("Node.%s is not called here", m)
		}
	}
	for _, m := range waittest.Methods(reflect.TypeFor[*source]()) {
		if calls["source."+m] == nil {
			t.Errorf("source.%s is not called here", m)
		}
	}
	waittest.AllEnd(t, 20*time.Second, "etcd gave no answer within", calls)
}
