package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/wirepb"
	"github.com/ferris1/wind/shard/etcd"
)

// TestBindingsOf100000NamesEnd logs 100,000 names in, through connections that change their player or end, and the same names
// once more. When the last has been away for as long as the page says, nothing of them is left: no record in the store and no
// key in etcd. The second wave leaves no more memory in the gateway than the first. A name that comes back is placed like a new one.
func TestBindingsOf100000NamesEnd(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		t.Skip("two minutes: set WIND_LONG")
	}
	const names = 100_000
	s := startServices(t, 0, "game-1")
	s.doors = []*door{s.begin("gateway-1", "127.0.0.1:0", "--client-rate", "-1", "--limit", "connections-per-address=-1,half-open-per-address=-1").open()}
	staying := newGuests(t, s, 20)
	for _, name := range staying.names {
		staying.enter(name)
	}
	before := s.footprint()
	t.Logf("before: %v", before)
	var after [2]footprint
	for i := range after {
		peak, took := s.wave(names)
		left := time.Now()
		t.Logf("%d names in %v; peak: %v", names, took.Round(time.Second), peak)
		s.infra.within(gone, "has no records of them", func() bool { return s.footprint().records == before.records })
		after[i] = s.footprint()
		t.Logf("%v after the last name: %v", time.Since(left).Round(time.Second), after[i])
	}
	// Go keeps what it may need again. A leak of 160 bytes a name would show.
	if more := after[1].gateway - after[0].gateway; more > 16<<20 {
		t.Errorf("the second wave leaves %d MiB more in the gateway", more>>20)
	}
	if after := after[1]; after.etcdKeys != before.etcdKeys {
		t.Errorf("etcd has %d instances, it had %d", after.etcdKeys, before.etcdKeys)
	}

	s.game("game-2")
	s.infra.until("has game-2", func() bool { return s.link.Directory.Alive("game", "game-2") })
	again := newGuests(t, s, 0)
	for i := range 10 {
		name := nameOf(int64(i * 7919))
		again.enter(name)
		if at := s.bound(name); at != "game-2" {
			t.Errorf("%s comes back to %s, which has 20 players more", name, at)
		}
	}
}

// wave logs names in until there were n of them, and samples the peak meanwhile.
func (s *services) wave(n int) (peak footprint, took time.Duration) {
	const connections, perConnection = 50, 100
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var sampler, group sync.WaitGroup
	sampler.Go(func() {
		for ctx.Err() == nil {
			peak = peak.max(s.footprint())
			time.Sleep(500 * time.Millisecond)
		}
	})
	began := time.Now()
	var next, failed atomic.Int64
	for range connections {
		group.Go(func() {
			for {
				first := next.Add(perConnection) - perConnection
				if first >= int64(n) {
					return
				}
				failed.Add(int64(s.pass(first, perConnection)))
			}
		})
	}
	group.Wait()
	took = time.Since(began)
	cancel()
	sampler.Wait()
	if failed.Load() > 0 {
		s.t.Errorf("%d logins failed", failed.Load())
	}
	return peak, took
}

// gone is how long a name's record may stay: 15 s, and what the server takes to remove it.
const gone = 25 * time.Second

func nameOf(n int64) string { return fmt.Sprint("name-", n) }

// pass logs n names in over one connection, one after the other and pipelined, and returns how many logins failed.
func (s *services) pass(first int64, n int) (failed int) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := client.DialRPC(ctx, client.RPCConfig{Addr: s.doors[0].addr, Transport: client.TCP})
	if err != nil {
		return n
	}
	defer c.Close()
	room, results := make(chan struct{}, 8), make(chan error, n)
	for i := range n {
		room <- struct{}{}
		login := &speakpb.PlayerLoginRequest{PlayerId: nameOf(first + int64(i))}
		payload, err := proto.Marshal(login)
		if err != nil {
			panic(err) // the test's own message
		}
		done := func(_ uint32, _ []byte, err error) { results <- err; <-room }
		if err := c.Go(wirepb.IDOf(login), payload, 30*time.Second, done); err != nil {
			done(0, nil, err)
		}
	}
	for range n {
		if err := <-results; err != nil {
			if failed++; failed == 1 {
				s.t.Logf("a login failed: %v", err)
			}
		}
	}
	return failed
}

// footprint is what players leave in a cluster.
type footprint struct {
	records     int   // messages in the bucket of players
	recordBytes int   // that they take
	gateway     int64 // resident memory of the gateway, in bytes
	infra       int64 // resident memory of NATS and etcd, in bytes
	etcdKeys    int   // services and gateways
	etcdBytes   int64
}

func (f footprint) String() string {
	return fmt.Sprintf("%d records of %d KiB, gateway %d MiB, infra %d MiB, %d instances in etcd of %d KiB",
		f.records, f.recordBytes>>10, f.gateway>>20, f.infra>>20, f.etcdKeys, f.etcdBytes>>10)
}

func (f footprint) max(o footprint) footprint {
	return footprint{max(f.records, o.records), max(f.recordBytes, o.recordBytes), max(f.gateway, o.gateway), max(f.infra, o.infra), max(f.etcdKeys, o.etcdKeys), max(f.etcdBytes, o.etcdBytes)}
}

func (s *services) footprint() (f footprint) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	answer, err := s.link.NATS.NATS().RequestWithContext(ctx, "$JS.API.STREAM.INFO.KV_WIND_dev_players", nil)
	if err != nil {
		s.t.Error(err)
		return f
	}
	var info struct{ State struct{ Messages, Bytes int } }
	if err := json.Unmarshal(answer.Data, &info); err != nil {
		s.t.Error(err)
		return f
	}
	space, err := etcd.SpaceOf(ctx, s.link.Etcd)
	if err != nil {
		s.t.Error(err)
		return f
	}
	for _, kind := range s.link.Directory.Types() {
		f.etcdKeys += len(s.link.Directory.Instances(kind))
	}
	f.records, f.recordBytes, f.etcdBytes = info.State.Messages, info.State.Bytes, space.Bytes
	f.gateway, f.infra = memoryNow(s.doors[0].cmd.Process.Pid), memoryNow(s.infra.cmd.Process.Pid)
	return f
}
