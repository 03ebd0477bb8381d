package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// record returns the lease under which the node a is registered, or 0.
func record(t *testing.T, c *clientv3.Client) int64 {
	t.Helper()
	got, err := c.Get(t.Context(), "/wind/test/nodes/a")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) == 0 {
		return 0
	}
	return got.Kvs[0].Lease
}

// kill ends a node as kill -9 does: its lease lives on.
func kill(n *Node) {
	n.cancel()
	n.done.Wait()
}

// TestANodesNameIsItsOwn: a second node of the name is refused, and neither its attempt nor its end disturbs the first one.
func TestANodesNameIsItsOwn(t *testing.T) {
	t.Parallel() // most of it is waiting
	c := cluster(t)
	first, _ := member(t, c, "a", 5*time.Second)
	before, err := c.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	book := &logbook{}
	second, err := Join(t.Context(), c, NodeConfig{Cluster: "test", ID: "a", TTL: 2 * time.Second, Logger: book.logger()})
	if !errors.Is(err, ErrTaken) {
		if err == nil {
			_ = second.Close(t.Context())
		}
		t.Fatalf("a second node of the name: %v", err)
	}
	host, err2 := os.Hostname()
	if err2 != nil {
		t.Fatal(err2)
	}
	if want := fmt.Sprintf("etcd: node a already runs on host %s (process %d) since ", host, os.Getpid()); !strings.HasPrefix(err.Error(), want) {
		t.Errorf("it is refused with %q, want %q", err, want)
	}
	if !book.has("the id is taken: waiting") {
		t.Error("it does not say that it waits")
	}
	if record(t, c) != first.State().ID {
		t.Errorf("the record is under lease %d, not under the first node's", record(t, c))
	}
	if after, err := c.Leases(t.Context()); err != nil || len(after.Leases) != len(before.Leases) {
		t.Errorf("%d leases, %v: the refused node left one; before it there were %d", len(after.Leases), err, len(before.Leases))
	}
}

// TestOneOfManyGetsTheName: of nodes that start together under one name, one runs and the others wait for its end.
func TestOneOfManyGetsTheName(t *testing.T) {
	c := cluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const many = 5
	var all sync.WaitGroup
	defer all.Wait()
	won, book := make(chan *Node, many), &logbook{}
	for range many {
		all.Go(func() {
			n, err := Join(ctx, c, NodeConfig{Cluster: "test", ID: "a", TTL: time.Minute, Logger: book.logger()})
			if err == nil {
				won <- n
			} else if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	eventually(t, "one runs and the others wait", func() bool { return len(won) > 0 && book.count("the id is taken: waiting") == many-1 })
	cancel()
	all.Wait()
	first := <-won
	if len(won) != 0 || record(t, c) != first.State().ID {
		t.Errorf("%d more nodes have the name", len(won))
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestANodeComesBackUnderItsName: after a kill -9 the name is free when the lease has ended. The end of the first one,
// however late, leaves the second's record alone.
func TestANodeComesBackUnderItsName(t *testing.T) {
	c := cluster(t)
	first, err := Join(t.Context(), c, NodeConfig{Cluster: "test", ID: "a", TTL: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	kill(first)
	second, _ := member(t, c, "a", 5*time.Second)
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if record(t, c) != second.State().ID {
		t.Errorf("the record is under lease %d, want %d", record(t, c), second.State().ID)
	}
}

// TestAnHeirTakesItsNameAtOnce: a node that embeds etcd does not wait for its predecessor's lease of a minute.
func TestAnHeirTakesItsNameAtOnce(t *testing.T) {
	c := cluster(t)
	book := &logbook{}
	join := func() *Node {
		t.Helper()
		n, err := Join(t.Context(), c, NodeConfig{Cluster: "test", ID: "a", TTL: time.Minute, Heir: true, Logger: book.logger()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close(context.Background()) })
		return n
	}
	kill(join())
	if n := join(); record(t, c) != n.State().ID || book.has("waiting") {
		t.Errorf("the heir waited, or its record is not there: lease %d", record(t, c))
	}
}

// lose ends a node's lease while another one, if any, has its record.
func lose(t *testing.T, c *clientv3.Client, n *Node, other clientv3.LeaseID) {
	t.Helper()
	before := clientv3.LeaseID(n.State().ID)
	if other != 0 { // first: the node registers again as soon as its lease has ended
		if _, err := c.Put(t.Context(), "/wind/test/nodes/a", `{"node":"a","host":"elsewhere","process":7}`, clientv3.WithLease(other)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Revoke(t.Context(), before); err != nil {
		t.Fatal(err)
	}
}

// TestANodeThatLostItsNameIsTold: it lost its lease, and another process registered under its name before it came back.
func TestANodeThatLostItsNameIsTold(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 2*time.Second)
	other, err := c.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	lose(t, c, n, other.ID)
	select {
	case <-n.Taken():
	case <-time.After(time.Minute):
		t.Fatal("it is not told")
	}
	if err := n.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if record(t, c) != int64(other.ID) {
		t.Errorf("the other's record is under lease %d, want %d", record(t, c), other.ID)
	}
}

// TestANodeKnowsItsOwnAttempt: the answer to an attempt to register was lost, and the record is there. It is the node's own.
func TestANodeKnowsItsOwnAttempt(t *testing.T) {
	c := cluster(t)
	n, err := Join(t.Context(), c, NodeConfig{Cluster: "test", ID: "a", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	kill(n) // it would renew its lease beside this test
	begun, err := c.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	lose(t, c, n, begun.ID)
	n.begun = begun.ID
	if err := n.enter(t.Context()); err != nil {
		t.Errorf("it takes its own record for another's: %v", err)
	}
	if record(t, c) != n.State().ID {
		t.Errorf("the record is under lease %d, want %d", record(t, c), n.State().ID)
	}
	n.begun = begun.ID // and Close removes such a record
	if err := n.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if record(t, c) != 0 {
		t.Error("the record is still there")
	}
}
