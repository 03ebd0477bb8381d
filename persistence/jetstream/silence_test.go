package jetstream

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/wait/waittest"
)

// TestEveryQuestionToJetStreamIsBounded searches this package's source for JetStream requests that ask.go does not
// bound.
func TestEveryQuestionToJetStreamIsBounded(t *testing.T) {
	methods := waittest.Methods(reflect.TypeFor[jetstream.JetStream](), reflect.TypeFor[jetstream.Stream](), reflect.TypeFor[jetstream.ObjectStore](),
		reflect.TypeFor[jetstream.KeyValue](), reflect.TypeFor[jetstream.Consumer]())
	file, err := parser.ParseFile(token.NewFileSet(), "ask.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var bounded []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
			bounded = append(bounded, f.Name.Name)
		}
	}
	methods = slices.DeleteFunc(methods, func(name string) bool { return slices.Contains(bounded, name) })
	waittest.Bounded(t, methods, []string{"For", "Call", "ask"}, map[string]string{
		"KV.Watch":  "it is meant to last; nats.go bounds its begin",
		"KV.keys":   "Keys bounds it",
		"KV.Delete": "its Get is KV's own",

		"Snapshots.Prune": "its List is Snapshots' own",
		"Snapshots.whole": "its Get is Snapshots' own",
	})
}

// TestEveryCallEndsWhenNATSIsSilent silences the server behind an open connection and makes every call.
func TestEveryCallEndsWhenNATSIsSilent(t *testing.T) {
	t.Parallel()
	server := startServer(t, ServerConfig{User: "node", Password: "secret"})
	between := newProxy(t, server.Addr())
	conn, err := Connect(testContext(t), ConnectConfig{URL: "nats://node:secret@" + between.addr, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	s := createShard(t, conn)
	w := appendTicks(t, s, 20)
	snap := snapshotOf(w)
	if err := s.snapshots.Put(testContext(t), snap, nil); err != nil {
		t.Fatal(err)
	}
	kv := openKV(t, conn, KVOptions{})
	room, err := Create(testContext(t), conn, "dev", "room", testLineage, Options{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { room.Close() })
	list, err := s.snapshots.List(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	between.hold(toClient, true)
	t.Cleanup(func() { between.hold(toClient, false) })
	ctx := context.Background()
	later := snapshotOf(w)
	later.Seq, later.Tick = later.Seq+1, later.Tick+1
	drain := func(all func(func(persistence.Message, error) bool)) error {
		for _, err := range all {
			if err != nil {
				return err
			}
		}
		return nil
	}
	next, _, err := w.next()
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"Log.Last":         func() error { _, err := s.log.Last(ctx); return err },
		"Log.First":        func() error { _, err := s.log.First(ctx); return err },
		"Log.NoteAccepted": func() error { return s.log.NoteAccepted(ctx, []persistence.Mark{{Seq: 1, Epoch: 1}}) },
		"Log.Extent":       func() error { _, err := s.log.Extent(ctx); return err },
		"Log.Get":          func() error { _, err := s.log.Get(ctx, 3); return err },
		"Log.Read":         func() error { return drain(s.log.Read(ctx, 1, 10)) },
		"Log.Follow":       func() error { return drain(s.log.Follow(ctx, 1)) },
		"Log.Purge":        func() error { return s.log.Purge(ctx, 3) },
		"Log.Removing":     func() error { _, err := room.log.Removing(ctx); return err },
		"Deltas.Last":      func() error { _, _, err := s.deltas.Last(ctx); return err },
		"Deltas.Read": func() error {
			for _, err := range s.deltas.Read(ctx, 1) {
				return err
			}
			return nil
		},
		"Deltas.Publish": func() error {
			other, err := openDeltasSilently(s)
			if err != nil {
				return err
			}
			return other.Publish(ctx, []persistence.Delta{deltaOf(1, 10)})
		},
		"Snapshots.List":  func() error { _, err := s.snapshots.List(ctx); return err },
		"Snapshots.Get":   func() error { _, err := s.snapshots.Get(ctx, list[0]); return err },
		"Snapshots.Put":   func() error { return s.snapshots.Put(ctx, later, nil) },
		"Snapshots.Prune": func() error { return s.snapshots.Prune(ctx, 2) },
		"KV.Get":          func() error { _, _, err := kv.Get(ctx, "k"); return err },
		"KV.Put":          func() error { _, _, err := kv.Put(ctx, "k", nil, 0); return err },
		"KV.PutFor":       func() error { _, _, err := kv.PutFor(ctx, "k", nil, 0, time.Minute); return err },
		"KV.Delete":       func() error { _, err := kv.Delete(ctx, "k", 1); return err },
		"Streams":         func() error { _, err := Streams(ctx, conn, "dev"); return err },
		"Open":            func() error { _, err := Open(ctx, conn, "dev", "main", testLineage, Options{}); return err },
		"Create":          func() error { _, err := Create(ctx, conn, "dev", "other", testLineage, Options{}); return err },
		"OpenKV":          func() error { _, err := OpenKV(ctx, conn, "dev", "other", KVOptions{}); return err },
	}
	elsewhere := []string{"Log.Append", "KV.Watch", "KV.Keys", "Log.Acknowledged", "Snapshots.Sweep"}
	for name, methods := range map[string][]string{
		"Log": waittest.Methods(reflect.TypeFor[*Log]()), "Deltas": waittest.Methods(reflect.TypeFor[*Deltas]()),
		"Snapshots": waittest.Methods(reflect.TypeFor[*Snapshots]()), "KV": waittest.Methods(reflect.TypeFor[*KV]()),
	} {
		for _, m := range methods {
			if calls[name+"."+m] == nil && !slices.Contains(elsewhere, name+"."+m) {
				t.Errorf("%s.%s is not called here", name, m)
			}
		}
	}
	waittest.AllEnd(t, 45*time.Second, "NATS gave no answer within", calls)
	waittest.AllEnd(t, 45*time.Second, "", map[string]func() error{ // each has its own error text
		"Log.Append": func() error { return s.log.Append(ctx, next, w.chain.Seq()) },
		"KV.Keys":    func() error { _, err := kv.Keys(ctx, ""); return err },
		"KV.Watch":   func() error { return kv.Watch(ctx, "k", func([]byte, uint64) {}) },
		"Connect": func() error {
			_, err := Connect(ctx, ConnectConfig{URL: "nats://node:secret@" + between.addr, Logger: quiet()})
			return err
		},
	})
}

// openDeltasSilently returns a second handle on a delta stream, one that already knows the stream's end.
func openDeltasSilently(s *Shard) (*Deltas, error) {
	d := &Deltas{lane: s.deltas.lane, conn: s.deltas.conn, ref: s.deltas.ref, known: true}
	var err error
	d.fence, err = newFenced(d.conn, &d.lane, 0)
	return d, err
}
