package jetstream

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// restartRoom is what must be free before a server that could not write is
	// started again: half a minute of a large delta stream, so that it does not
	// fail again at once.
	restartRoom = 8 << 20

	probeEvery   = 250 * time.Millisecond
	longestProbe = 5 * time.Second  // between restarts that do not help
	steady       = 10 * time.Second // a restart that lasts so long has helped
)

// keeper keeps an embedded server writing. nats-server holds on to the first
// error that a stream's store meets while writing (a full disk, a file system
// that turned read-only) and answers nothing from then on, whatever becomes of
// the disk. So the keeper waits until a probe can be written and synced again,
// then restarts the server in place, on the same port. For its clients that is a
// lost connection: what was under way is ambiguous and is resolved as ever.
type keeper struct {
	server  *Server
	log     *slog.Logger
	wake    chan struct{} // something is wrong, perhaps
	broken  atomic.Bool   // the server said that it cannot write: only a restart helps
	trouble atomic.Pointer[trouble]
	quit    chan struct{}
	done    sync.WaitGroup

	restarted time.Time
	pause     time.Duration // before the next restart
}

// trouble is why the store takes nothing; nil in err when it takes all.
type trouble struct {
	err   error
	begun chan struct{} // closed when err comes up
}

func newKeeper(s *Server) *keeper {
	log := s.config.Logger
	if log == nil {
		log = slog.Default()
	}
	k := &keeper{server: s, log: log, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	k.trouble.Store(&trouble{begun: make(chan struct{})})
	return k
}

func (k *keeper) begin() { k.done.Go(k.keep) }

func (k *keeper) end() {
	close(k.quit)
	k.done.Wait()
}

// failed is what the server's log calls: a write went wrong.
func (k *keeper) failed() {
	k.broken.Store(true)
	k.suspect()
}

// suspect has the directory probed soon.
func (k *keeper) suspect() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// keep waits for trouble and mends it.
func (k *keeper) keep() {
	for {
		select {
		case <-k.quit:
			return
		case <-k.wake:
		}
		for !k.mended() {
			select {
			case <-k.quit:
				return
			case <-time.After(probeEvery):
			}
		}
	}
}

// mended looks at the directory and, where it can be written again, restarts a
// server that could not write. It reports whether all is well.
func (k *keeper) mended() bool {
	need := int64(0)
	if k.broken.Load() {
		need = restartRoom
	}
	if err := CheckRoom(k.server.config.Dir, need); err != nil {
		k.told(err)
		return false
	}
	if !k.broken.Load() {
		k.well()
		return true
	}
	if time.Since(k.restarted) < k.pause {
		return false
	}
	if err := k.restart(); err != nil {
		k.told(err)
		return false
	}
	k.well()
	return true
}

// restart begins a new life of the server. Lives that end at once come more and
// more slowly.
func (k *keeper) restart() error {
	if k.pause = min(max(2*k.pause, probeEvery), longestProbe); time.Since(k.restarted) > steady {
		k.pause = 0
	}
	k.log.Info("the store can be written again; the NATS server is restarted on it", "dir", k.server.config.Dir)
	k.server.halt()
	k.broken.Store(false)
	err := k.server.start()
	if err != nil {
		k.broken.Store(true)
	}
	k.restarted = time.Now()
	return err
}

// told keeps the trouble, and logs it when it is new. Whoever waits for an answer of the server hears of it.
func (k *keeper) told(err error) {
	before := k.trouble.Load()
	k.trouble.Store(&trouble{err, before.begun})
	if before.err == nil {
		close(before.begun)
		k.log.Error("the store is not written", "error", err)
	}
}

// well forgets the trouble.
func (k *keeper) well() {
	if k.trouble.Load().err == nil {
		return
	}
	k.trouble.Store(&trouble{begun: make(chan struct{})})
	k.log.Info("the store is written again", "dir", k.server.config.Dir, "free", bytesText(freeBytes(k.server.config.Dir)))
}

// Trouble returns why the store takes nothing at the moment, nil when it does:
// an error that wraps persistence.ErrDiskFull or persistence.ErrReadOnly, or
// why the server could not be restarted. It goes away by itself.
func (s *Server) Trouble() error { return s.keeper.trouble.Load().err }
