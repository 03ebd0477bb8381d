package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// Notes about a log: facts that must be known wherever its store is opened. They are in the metadata of the log's
// stream, which the server stores beside the log, under a checksum; in a partition, in the headers of the last message on
// the log's noteSubject.
const (
	// Before a purge, a process that does not own the server's store, and so cannot write the log's mark, notes here
	// where the log may begin.
	purgedBelow = "wind-purged-below"
	// The losses that an operator accepted, as "sequence/epoch", oldest first.
	acceptedLosses = "wind-accepted-losses"
	// The kind of a message that holds notes.
	noteKind = "note"
)

// note writes a note about the log.
func (l *Log) note(ctx context.Context, key, value, what string) error {
	fail := func(err error) error {
		return fmt.Errorf("jetstream: cannot note beside %s that %s: %w", &l.lane, what, err)
	}
	if l.shared() {
		if err := l.noteShared(ctx, key, value); err != nil {
			return fail(err)
		}
		return nil
	}
	info, err := l.stream.Info(ctx)
	if err != nil {
		return fail(err)
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
		return fail(err)
	}
	return nil
}

// noteBytes is more than a note takes.
const noteBytes = 1 << 10

// noteShared writes a note about a log in a partition, with the former notes.
func (l *Log) noteShared(ctx context.Context, key, value string) error {
	notes, seq, err := l.readNotes(ctx)
	if err != nil || notes.Get(key) == value {
		return err
	}
	m := &nats.Msg{Subject: noteSubject(l.ref, partitionOf(l.ref.Shard)), Header: nats.Header{persistence.HeaderKind: {noteKind}}}
	for _, k := range []string{purgedBelow, acceptedLosses} {
		if v := notes.Get(k); v != "" {
			m.Header[k] = []string{v}
		}
	}
	m.Header[key] = []string{value}
	publish := func() error {
		_, err := l.conn.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(seq), jetstream.WithRetryAttempts(0))
		return err
	}
	if err = publish(); isFull(err) && l.grow(ctx, l.conn, noteBytes, math.MaxInt64) == nil {
		err = publish()
	}
	if isFull(err) && key == purgedBelow {
		if err := l.vacate(ctx, parsePurge(value)); err != nil {
			return err
		}
		err = publish()
	}
	return err
}

// vacate purges enough of the records below a sequence to make room for a note in a full partition, which nobody could
// purge otherwise. After a crash before the note is written, the log seems to have lost its first records.
func (l *Log) vacate(ctx context.Context, below persistence.Seq) error {
	first, ok, err := l.from(ctx, 1)
	if err != nil || !ok {
		return err
	}
	m, ok, err := l.find(ctx, byBytes, l.bytesBefore(&first)+noteBytes)
	if err != nil || !ok || m.num >= uint64(below) {
		return err
	}
	return l.lane.purge(ctx, m.seq+1)
}

// readNotes reads what is noted about a log in a partition, and the sequence of the note; nil and 0 if nothing is.
func (l *Log) readNotes(ctx context.Context) (nats.Header, uint64, error) {
	m, err := l.stream.GetLastMsgForSubject(ctx, noteSubject(l.ref, partitionOf(l.ref.Shard)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("jetstream: cannot read the notes about %s: %w", &l.lane, err)
	}
	return m.Header, m.Sequence, nil
}

// notePurge notes that the records below a sequence are about to be purged.
func (l *Log) notePurge(ctx context.Context, below persistence.Seq) error {
	noted := persistence.Seq(0)
	if l.shared() {
		notes, _, err := l.readNotes(ctx)
		if err != nil {
			return err
		}
		noted = parsePurge(notes.Get(purgedBelow))
	} else {
		info, err := l.stream.Info(ctx)
		if err != nil {
			return fmt.Errorf("jetstream: cannot note in stream %s that it is purged: %w", l.name, err)
		}
		noted = notedPurge(info.Config)
	}
	if noted >= below {
		return nil
	}
	return l.note(ctx, purgedBelow, strconv.FormatUint(uint64(below), 10), "it is purged")
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
func parseAccepted(noted string) (all []persistence.Mark) {
	for _, mark := range strings.Fields(noted) {
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
	return parsePurge(c.Metadata[purgedBelow])
}

func parsePurge(noted string) persistence.Seq {
	below, _ := strconv.ParseUint(noted, 10, 64)
	return persistence.Seq(below)
}

// accepted returns the losses that were accepted when the log was opened.
func (l *Log) accepted() []persistence.Mark {
	if l.shared() {
		return parseAccepted(l.share.notes.Get(acceptedLosses))
	}
	return parseAccepted(l.stream.CachedInfo().Config.Metadata[acceptedLosses])
}
