package jetstream

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// Notes in the metadata of a log's stream: facts about the log that must be known wherever its store is opened. The
// server stores them beside the log, under a checksum.
const (
	// Before a purge, a process that does not own the server's store, and so cannot write the log's mark, notes here
	// where the log may begin.
	purgedBelow = "wind-purged-below"
	// The losses that an operator accepted, as "sequence/epoch", oldest first.
	acceptedLosses = "wind-accepted-losses"
)

// note writes a note into the metadata of the log's stream.
func (l *Log) note(ctx context.Context, key, value, what string) error {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("jetstream: cannot note in stream %s that %s: %w", l.name, what, err)
	}
	config := info.Config
	if config.Metadata[key] == value {
		return nil
	}
	config.Metadata = maps.Clone(config.Metadata)
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[key] = value
	if l.stream, err = l.conn.js.UpdateStream(ctx, config); err != nil {
		return fmt.Errorf("jetstream: cannot note in stream %s that %s: %w", l.name, what, err)
	}
	return nil
}

// NoteAccepted notes beside the log which losses of history an operator accepted, oldest first, so that every process
// that opens or checks the store knows what is void.
func (l *Log) NoteAccepted(ctx context.Context, all []persistence.Mark) error {
	if len(all) == 0 {
		return nil
	}
	marks := make([]string, len(all))
	for i, m := range all {
		marks[i] = fmt.Sprintf("%d/%d", m.Seq, m.Epoch)
	}
	return l.note(ctx, acceptedLosses, strings.Join(marks, " "), "a loss was accepted")
}

// parseAccepted parses what NoteAccepted wrote. It ignores any entry that it cannot parse.
func parseAccepted(metadata map[string]string) (all []persistence.Mark) {
	for _, mark := range strings.Fields(metadata[acceptedLosses]) {
		left, right, _ := strings.Cut(mark, "/")
		seq, err := strconv.ParseUint(left, 10, 64)
		epoch, epochErr := strconv.ParseUint(right, 10, 64)
		if err == nil && epochErr == nil {
			all = append(all, persistence.Mark{Seq: persistence.Seq(seq), Epoch: persistence.Epoch(epoch)})
		}
	}
	return all
}

// notedPurge returns where a log may begin according to the last note of a purge, or 0 without one.
func notedPurge(c jetstream.StreamConfig) persistence.Seq {
	noted, _ := strconv.ParseUint(c.Metadata[purgedBelow], 10, 64)
	return persistence.Seq(noted)
}
