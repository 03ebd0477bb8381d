package jetstream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// A server drops requests for a stream without a leader. The request is sent again, and one answer is enough.
func TestQuestionThatIsDroppedIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			drops int // how many of the first requests
			after time.Duration
			err   error
		}{
			{0, 0, nil},
			{1, 250 * time.Millisecond, nil},
			{3, 1750 * time.Millisecond, nil},
			{2, 750 * time.Millisecond, persistence.ErrNotFound},
			{99, 5 * time.Second, context.DeadlineExceeded},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			var asked atomic.Int32
			began := time.Now()
			_, err := again(ctx, func(ctx context.Context) (int, error) {
				if int(asked.Add(1)) <= c.drops {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return 1, c.err
			})
			if took := time.Since(began); !errors.Is(err, c.err) || took != c.after {
				t.Errorf("%d dropped: %v after %s, want %v after %s", c.drops, err, took, c.err, c.after)
			}
			cancel()
		}
	})
}

// TestAMessageWaitsForItsStream: a message that no server receives is sent again, until its stream listens.
func TestAMessageWaitsForItsStream(t *testing.T) {
	c := connectTo(t, startServer(t, ServerConfig{}))
	ctx, made := testContext(t), make(chan error, 1)
	began := make(chan struct{})
	go func() {
		<-began
		_, err := c.js.CreateStream(ctx, jetstream.StreamConfig{Name: "LATE", Subjects: []string{"late.>"}, Storage: jetstream.FileStorage})
		made <- err
	}()
	if _, err := c.nc.Request("late.x", nil, time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Fatalf("somebody listens already: %v", err)
	}
	close(began) // the stream and the message race
	ack, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: "late.x", Data: []byte("x")}, jetstream.WithRetryAttempts(0))
	if made := <-made; err != nil || made != nil || ack.Sequence != 1 {
		t.Errorf("%+v, %v, %v", ack, err, made)
	}
}
