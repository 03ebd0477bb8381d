package jetstream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
