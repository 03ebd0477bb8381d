package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence/jetstream"
)

// Names in the temporary store.
const (
	cluster   = "bench"
	shardName = "bench"
	bareName  = "BARE"
)

// store is an embedded server with a shard's streams and a bare stream with the same settings.
type store struct {
	server *jetstream.Server
	conn   *jetstream.Conn
	shard  *jetstream.Shard
	js     natsjs.JetStream
	dir    string
	last   uint64 // sequence of the bare stream
}

// openStore creates everything in a new directory below dir, which close removes.
func openStore(ctx context.Context, dir string, syncAlways bool, lineage string) (s *store, err error) {
	s = &store{}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	if s.dir, err = os.MkdirTemp(dir, "wind-bench-"); err != nil {
		return s, fmt.Errorf("bench: %w", err)
	}
	if s.server, err = jetstream.StartServer(jetstream.ServerConfig{Dir: s.dir, Port: -1, SyncAlways: syncAlways}); err != nil {
		return s, fmt.Errorf("bench: %w", err)
	}
	if s.conn, err = s.server.Connect(ctx); err != nil {
		return s, fmt.Errorf("bench: %w", err)
	}
	room := s.server.MaxBytes() / 8
	if s.shard, err = jetstream.Create(ctx, s.conn, cluster, shardName, lineage, jetstream.Options{LogBytes: room, DeltaBytes: room, SnapshotBytes: room}); err != nil {
		return s, fmt.Errorf("bench: %w", err)
	}
	if s.js, err = natsjs.New(s.conn.NATS()); err != nil {
		return s, fmt.Errorf("bench: %w", err)
	}
	_, err = s.js.CreateStream(ctx, natsjs.StreamConfig{ // like the shard's log
		Name: bareName, Subjects: []string{bareName}, Storage: natsjs.FileStorage, Retention: natsjs.LimitsPolicy,
		Discard: natsjs.DiscardNew, MaxBytes: room, DenyDelete: true,
	})
	if err != nil {
		return s, fmt.Errorf("bench: %w", err)
	}
	return s, nil
}

func (s *store) close() {
	if s.shard != nil {
		s.shard.Close()
	}
	if s.conn != nil {
		s.conn.Close()
	}
	if s.server != nil {
		s.server.Close()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // leftovers in a temporary directory are no reason to fail
	}
}

// publish appends through nats.go's JetStream client alone: fenced, one outstanding.
func (s *store) publish(ctx context.Context, body []byte) error {
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: bareName, Data: body},
		natsjs.WithExpectLastSequence(s.last), natsjs.WithRetryAttempts(0))
	if err != nil {
		return fmt.Errorf("bench: bare publish: %w", err)
	}
	s.last = ack.Sequence
	return nil
}

// request does the same with a plain request to the stream's subject.
func (s *store) request(ctx context.Context, body []byte) error {
	m := &nats.Msg{Subject: bareName, Data: body, Header: nats.Header{natsjs.ExpectedLastSeqHeader: {strconv.FormatUint(s.last, 10)}}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	answer, err := s.conn.NATS().RequestMsgWithContext(ctx, m)
	if err != nil {
		return fmt.Errorf("bench: bare request: %w", err)
	}
	var ack struct {
		Error *struct{ Description string }
		Seq   uint64
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil || ack.Error != nil || ack.Seq != s.last+1 {
		return fmt.Errorf("bench: bare request: %s is not an acknowledgement of %d", answer.Data, s.last+1)
	}
	s.last = ack.Seq
	return nil
}
