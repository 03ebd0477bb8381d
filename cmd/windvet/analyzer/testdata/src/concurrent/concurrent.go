package concurrent

import (
	"context"
	"sync"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) { ecs.System(w, "spread", spread) }

func spread(t *ecs.Tick) {
	c := make(chan int, 1) // want `a channel delivers whenever the scheduler decides: use a slice`
	go func() {            // want `a goroutine ends whenever the scheduler decides: do the work in this tick`
		c <- 1 // want `a channel delivers`
	}()
	select { // want `select takes a random ready case`
	case <-c: // want `a channel delivers`
	default:
	}
	for range c { // want `a channel delivers whenever the scheduler decides: range over a slice`
	}
	close(c)             // want `a channel delivers`
	var mu sync.Mutex    // want `sync.Mutex is for concurrent code: one goroutine steps a world`
	mu.Lock()            // want `sync.Mutex.Lock is for concurrent code`
	var pool sync.Pool   // want `sync.Pool is for concurrent code`
	_ = pool.Get()       // want `sync.Pool.Get is for concurrent code`
	context.Background() // want `context.Background is for concurrent code`
}
