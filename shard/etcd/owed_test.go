package etcd

import (
	"context"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence/wait/waittest"
	"github.com/ferris1/wind/shard"
)

// TestAReleaseThatFailedIsRepeated: etcd does not answer when a room's host ends, and the node lives on. Its key goes as soon as etcd
// answers, and not the key of a later host.
func TestAReleaseThatFailedIsRepeated(t *testing.T) {
	s, err := StartServer(t.Context(), ServerConfig{Dir: t.TempDir(), Development: true})
	if err != nil {
		t.Fatal(err)
	}
	between := waittest.NewProxy(t, s.Addr())
	c, err := Dial(t.Context(), between.Addr())
	if err != nil {
		t.Fatal(err)
	}
	direct, err := Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, end := range []func() error{direct.Close, c.Close, s.Close} {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
	n, main := member(t, c, "a", time.Minute)
	other, err := n.Shard("other")
	if err != nil {
		t.Fatal(err)
	}
	if !claim(t, n, main) || !claim(t, n, other) {
		t.Fatal("not claimed")
	}
	fails := func(x *Shard) {
		t.Helper()
		between.Hold(waittest.ToServer, true)
		defer between.Hold(waittest.ToServer, false)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := x.Release(ctx, 1, true); err == nil {
			t.Fatal("a release without an answer succeeded")
		}
	}
	fails(main)
	look, err := Look(direct, "test", "main")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody owns the shard", func() bool { return read(t, look).Owner == "" })

	// The release of an earlier host is owed when the next one has the shard.
	if err := other.Release(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	st := read(t, other)
	if granted, err := other.Claim(t.Context(), shard.Bid{Node: "a", Lease: n.State().ID, Epoch: 2, EpochRevision: st.EpochRevision, Lineage: "lineage-1"}); err != nil || !granted {
		t.Fatal(granted, err)
	}
	fails(other)
	eventually(t, "nothing is owed", func() bool {
		n.owed.mu.Lock()
		defer n.owed.mu.Unlock()
		return len(n.owed.all) == 0
	})
	if st := read(t, other); st.Owner != "a" || st.Epoch != 2 {
		t.Errorf("the later host's key is gone, too: %+v", st)
	}
}
