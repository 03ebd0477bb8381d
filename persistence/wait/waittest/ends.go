package waittest

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// AllEnd makes all calls at once. Each must end within the limit, with an error that contains want: the server that it
// waited for.
func AllEnd(t *testing.T, limit time.Duration, want string, calls map[string]func() error) {
	t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	open := map[string]bool{}
	for name, call := range calls {
		open[name] = true
		group.Go(func() {
			begun := time.Now()
			err := call()
			t.Logf("%s ended after %v: %v", name, time.Since(begun).Round(100*time.Millisecond), err)
			mu.Lock()
			defer mu.Unlock()
			delete(open, name)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s ends with: %v", name, err)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
		mu.Lock()
		defer mu.Unlock()
		for name := range open {
			t.Errorf("%s does not end", name)
		}
		t.FailNow()
	}
}
