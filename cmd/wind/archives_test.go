package main

import (
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// TestArchivesSurviveTheKillOfTheirKeeper: two nodes archive the rooms of a cluster into one folder, and one is killed amid
// that. Each room is gone in the end, with one archive, which is whole.
func TestArchivesSurviveTheKillOfTheirKeeper(t *testing.T) {
	c := startCluster(t)
	kept := t.TempDir()
	flags := []string{"--archive", kept, "--log-bytes", "1GiB", "--deltas", "512MiB"} // so that a small disk has room for the rooms
	anna := c.node(0, flags...)
	anna.owns(c.http[0], 10)
	bert := c.node(1, flags...)
	bert.says("waiting")
	const count = 24
	run(t, 0, nil, "room", "create", "--nats", c.nats, "--etcd", c.etcd, "--count", strconv.Itoa(count), "--options", `{"monsters":5,"size":60}`, "--for", "3s", "--keep", "archive", "--timeout", "1m")
	archives := func() (names []string) {
		names, err := filepath.Glob(filepath.Join(kept, "dev", "*.wind*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	bert.until("archives are written", func() bool { return len(archives()) > 2 })
	anna.kill()
	var all []listed
	bert.until("all rooms are gone", func() bool {
		all = c.rooms()
		return !slices.ContainsFunc(all, func(r listed) bool { return r.State != "gone" })
	})
	if len(all) != count {
		t.Errorf("%d rooms are listed", len(all))
	}
	var places []string
	for _, r := range all {
		if r.End == nil || r.End.Archive == "" || r.End.Reason != "limit" {
			t.Errorf("%+v has no archive", r)
			continue
		}
		places = append(places, r.End.Archive)
		if len(places) > long(4, count) { // each takes two processes; the keeper has proven all
			continue
		}
		run(t, 0, nil, "log", "check", "--file", r.End.Archive)
		run(t, 0, nil, "replay", "--file", r.End.Archive, "--verify")
	}
	slices.Sort(places)
	bert.until("nothing else is left", func() bool { return slices.Equal(archives(), places) })
	bert.stop()
}
