// Package folder reloads a folder's scripts when they are saved. It follows links: to a file, to a folder, to another
// link, and those of a Kubernetes ConfigMap, whose mount swaps a link called ..data.
package folder

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

const (
	// again is the pause before retrying scripts that could not be applied yet, for example because no node owns the
	// shard.
	again = time.Second
	// settle is how long the files must be unchanged before they are read, because editors write in several steps.
	settle = 50 * time.Millisecond
	// patience bounds that wait.
	patience = time.Second
	// applyTimeout bounds a reload.
	applyTimeout = 10 * time.Second
)

// passing lists the codes of errors that another attempt may not meet.
var passing = []rpc.Code{rpc.Unavailable, rpc.Aborted, rpc.DeadlineExceeded}

// Config says what to watch, and how to put it in force.
type Config struct {
	Dir string // contains one folder per service type, and one for the shard
	// Known is what was already read, by folder. Only something else is applied.
	Known map[string][]script.Module
	// Apply puts all modules of a folder in force. what describes the changes, "" if nothing changed. After an
	// *rpc.Error with Unavailable, Aborted or DeadlineExceeded, the Watcher tries again.
	Apply  func(ctx context.Context, folder string, modules []script.Module) (what string, err error)
	Logger *slog.Logger // nil: slog.Default()
}

// Watcher follows a folder. Its only goroutine is that of Run.
type Watcher struct {
	cfg     Config
	watcher *fsnotify.Watcher
	log     *slog.Logger
	tried   map[string]string // folder → hash of the modules that were last applied
	tree    tree              // being watched
}

// Watch starts watching. Run sees every change from now on.
func Watch(c Config) (*Watcher, error) {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	f := &Watcher{cfg: c, watcher: w, log: c.Logger, tried: map[string]string{}}
	for folder, modules := range c.Known {
		f.tried[folder] = script.SHA256(modules)
	}
	if err := f.follow(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return f, nil
}

// Close ends Run.
func (f *Watcher) Close() error { return f.watcher.Close() }

// Run applies the modules that are not in force, then those that are saved, each time once the folder is quiet after a
// change.
func (f *Watcher) Run(ctx context.Context) {
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	first := time.Time{} // of the first change not read yet
	for {
		select {
		case <-ctx.Done():
			return
		case ev, ok := <-f.watcher.Events:
			if !ok {
				return
			}
			if !f.tree.concerns(ev.Name) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(min(settle, max(0, time.Until(first.Add(patience)))))
		case err, ok := <-f.watcher.Errors:
			if !ok {
				return
			}
			f.log.Warn("may miss changes in the scripts' folder", "dir", f.cfg.Dir, "error", err)
		case <-quiet.C:
			first = time.Time{}
			if err := f.follow(); err != nil { // follow new folders and links
				f.log.Warn("may miss changes in the scripts' folder", "dir", f.cfg.Dir, "error", err)
			}
			for _, folder := range f.folders() {
				if !f.reload(ctx, folder) {
					quiet.Reset(again)
				}
			}
		}
	}
}

// reload puts a folder's modules in force unless they are those tried last. It returns false if they cannot be applied
// yet.
func (f *Watcher) reload(ctx context.Context, folder string) (tried bool) {
	modules, err := script.ReadFolder(os.DirFS(f.cfg.Dir), folder)
	if err != nil {
		f.log.Error("cannot read scripts: the old ones stay in force", "folder", folder, "error", err)
		return true
	}
	hash := script.SHA256(modules)
	if f.tried[folder] == hash {
		return true
	}
	f.tried[folder] = hash
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	what, err := f.cfg.Apply(ctx, folder, modules)
	switch e := (*rpc.Error)(nil); {
	case errors.As(err, &e) && slices.Contains(passing, e.Code):
		f.log.Debug("cannot reload scripts yet", "folder", folder, "error", err)
		delete(f.tried, folder)
		return false
	case err != nil:
		f.log.Error("cannot reload scripts: the old ones stay in force", "folder", folder, "error", err)
	case what != "":
		f.log.Info("scripts reloaded", "folder", folder, "what", what)
	default:
		f.log.Debug("scripts are already in force", "folder", folder)
	}
	return true
}

// follow watches exactly what the folder now consists of.
func (f *Watcher) follow() (err error) {
	next, err := walk(f.cfg.Dir)
	for _, dir := range f.watcher.WatchList() {
		if !next.watches(dir) {
			_ = f.watcher.Remove(dir) // it may be gone already
		}
	}
	f.tree = next
	for dir := range next.dirs() {
		err = errors.Join(err, f.watcher.Add(dir))
	}
	return err
}

// folders returns the service types, and the shard, that have scripts.
func (f *Watcher) folders() (names []string) {
	entries, err := os.ReadDir(f.cfg.Dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(f.cfg.Dir, e.Name())); err == nil && info.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}
