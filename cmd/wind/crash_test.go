package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/fleet"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
)

// kills is how often TestNothingThatAClientSawIsLost kills: WIND_KILLS, or a few.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("WIND_KILLS")); err == nil && n > 0 {
		return n
	}
	return 4
}

// TestNothingThatAClientSawIsLost kills a node with kill -9, again and again at random moments, while bots of another
// process play. Each successor goes on from the last committed tick with a higher epoch, the bots resume their sessions,
// and every tick that any of them ever saw is in the log, at the record that it was told, with the same checksum.
func TestNothingThatAClientSawIsLost(t *testing.T) {
	dir := t.TempDir()
	data, trace := filepath.Join(dir, "data"), filepath.Join(dir, "seen.jsonl")
	udp, http := nodetest.Addr(t), nodetest.Addr(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d kills, seed %d", kills(), seed)
	random := rand.New(rand.NewPCG(seed, 1))

	serve := func() *process {
		return wind(t, "serve", "--data", data, "--udp", udp, "--tcp", "", "--http", http, "--monsters", "50", "--json")
	}
	server := serve()
	server.owns(http, 1)
	bots := wind(t, "bots", "--addr", udp, "--count", "10", "--trace", trace, "--wait", "60s", "--json")
	bots.until("plays", func() bool { return healthOf(http).Clients == 10 })
	var before health
	for range kills() {
		before = server.owns(http, before.Tick+1)
		time.Sleep(time.Duration(200+random.IntN(1200)) * time.Millisecond) // the moment is random, nothing waits for it
		server.kill()
		server = serve()
		after := server.owns(http, before.Tick)
		if after.Epoch <= before.Epoch {
			t.Fatalf("epoch %d follows %d", after.Epoch, before.Epoch)
		}
	}
	server.until("has its clients again", func() bool { return healthOf(http).Clients == 10 })
	server.owns(http, before.Tick+30)

	if code := bots.stop(); code != 0 {
		t.Fatalf("the bots end with %d", code)
	}
	var played fleet.Stats
	bots.result(&played)
	if code := server.stop(); code != 0 {
		t.Fatalf("the node ends with %d", code)
	}
	if played.Resumes < uint64(kills()) || played.Rejoins > 0 {
		t.Errorf("over %d kills the bots resumed %d times and began a new session %d times", kills(), played.Resumes, played.Rejoins)
	}
	if n := everythingSeenIsInTheLog(t, data, trace); n < 10*kills() {
		t.Errorf("the bots saw only %d updates", n)
	}
	run(t, 0, nil, "log", "check", "--data", data)
	run(t, 0, nil, "replay", "--data", data, "--verify")
}

// everythingSeenIsInTheLog compares a trace with the log and returns the number of updates in it.
func everythingSeenIsInTheLog(t *testing.T, data, trace string) (seen int) {
	t.Helper()
	type place struct{ checksum, seq string }
	log := map[uint64]place{}
	ctx := context.Background()
	held, err := jetstream.OpenCopy(ctx, node.StoreDir(data), jetstream.CopyOptions{LogOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	s, _, err := held.Open(ctx, "dev", "main")
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.Log().Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range s.Log().Read(ctx, 1, last) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := persistence.DecodeRecord(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, tick := range r.Ticks {
			log[tick.Tick] = place{fmt.Sprintf("%016x", tick.Checksum), fmt.Sprint(m.Seq)}
		}
	}
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = fleet.ReadTrace(f, func(s fleet.Sight) error {
		seen++
		if want := log[s.Tick]; want != (place{s.Checksum, fmt.Sprint(s.Seq)}) {
			return fmt.Errorf("bot %d saw tick %d with checksum %s in record %d; the log has %+v", s.Bot, s.Tick, s.Checksum, s.Seq, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return seen
}
