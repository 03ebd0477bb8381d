package bench

import (
	"context"
	"testing"
	"time"
)

func TestBareRequestsAreAnswered(t *testing.T) {
	b, err := openBare(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for _, under := range []int{1, 100} {
		r, err := b.load(context.Background(), under, 64, 200*time.Millisecond)
		if err != nil || r.Requests == 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Depth != under {
			t.Errorf("%d under way: %+v, %v", under, r, err)
		}
		t.Logf("%d under way: %.0f per second", under, r.PerSecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.load(ctx, 1, 64, time.Minute); err != context.DeadlineExceeded {
		t.Errorf("error %v", err)
	}
}
