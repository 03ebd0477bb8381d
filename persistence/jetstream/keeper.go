package jetstream

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// restartRoom is the free space required before a server that could not write is restarted: half a minute of a
	// large delta stream, so that it does not fail again at once.
	restartRoom = 8 << 20

	probeEvery   = 250 * time.Millisecond
	longestProbe = 5 * time.Second  // maximum pause between restarts that do not help
	steady       = 10 * time.Second // a server that runs this long has recovered
)

// keeper keeps an embedded server able to write. nats-server keeps the first error that a stream's store meets while
// writing (a full disk, a file system that turned read-only) and answers nothing from then on, even after the disk
// recovers. The keeper therefore waits until a probe can be written and synced again, then restarts the server in
// place, on the same port. Its clients see a lost connection: appends under way are ambiguous and are resolved as
// usual.
type keeper struct {
	server  *Server
	logger  *slog.Logger
	wake    chan struct{} // something may be wrong
	broken  atomic.Bool   // the server reported that it cannot write: only a restart helps
	trouble atomic.Pointer[trouble]
	quit    chan struct{}
	done    sync.WaitGroup

	restarted time.Time
	pause     time.Duration // before the next restart
}

// trouble is the reason why the store accepts no writes. err is nil if it accepts them.
type trouble struct {
	err   error
	begun chan struct{} // closed when err is first set
}

func newKeeper(s *Server) *keeper {
	k := &keeper{server: s, logger: s.config.Logger, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	k.trouble.Store(&trouble{begun: make(chan struct{})})
	return k
}

func (k *keeper) begin() { k.done.Go(k.keep) }

func (k *keeper) end() {
	close(k.quit)
	k.done.Wait()
}

// failed notes that a write of the server went wrong. The server's log calls it.
func (k *keeper) failed() {
	k.broken.Store(true)
	k.suspect()
}

// suspect requests a probe of the directory.
func (k *keeper) suspect() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// keep waits for trouble and recovers from it.
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

// mended probes the directory and, if it is writable again, restarts a server that could not write. It reports whether
// the server works.
func (k *keeper) mended() bool {
	need := int64(0)
	if k.broken.Load() {
		need = restartRoom
	}
	if err := CheckDisk(k.server.config.Dir, need); err != nil {
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

// restart restarts the server. The pause grows between restarts that do not help.
func (k *keeper) restart() error {
	if k.pause = min(max(2*k.pause, probeEvery), longestProbe); time.Since(k.restarted) > steady {
		k.pause = 0
	}
	k.logger.Info("the store is writable again; restarting the NATS server on it", "dir", k.server.config.Dir)
	k.server.halt()
	k.broken.Store(false)
	err := k.server.start()
	if err != nil {
		k.broken.Store(true)
	}
	k.restarted = time.Now()
	return err
}

// told records the trouble, logs it if it is new, and wakes the callers that wait for an answer of the server.
func (k *keeper) told(err error) {
	before := k.trouble.Load()
	k.trouble.Store(&trouble{err, before.begun})
	if before.err == nil {
		close(before.begun)
		k.logger.Error("cannot write the store", "error", err)
	}
}

// well clears the trouble.
func (k *keeper) well() {
	if k.trouble.Load().err == nil {
		return
	}
	k.trouble.Store(&trouble{begun: make(chan struct{})})
	k.logger.Info("the store works again", "dir", k.server.config.Dir, "free", bytesText(freeBytes(k.server.config.Dir)))
}

// Trouble returns nil if the store accepts writes. Otherwise it returns an error that wraps persistence.ErrDiskFull or
// persistence.ErrReadOnly, or the reason why the server could not be restarted. The keeper clears it when the store
// recovers.
func (s *Server) Trouble() error { return s.keeper.trouble.Load().err }
