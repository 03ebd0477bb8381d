// Package folder reloads the scripts of a folder when they are saved, also through links: of a file, of a folder, of a link to
// a link, and of a Kubernetes ConfigMap, whose mount swaps a link called ..data.
package folder

import (
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
	// again is the pause before scripts are tried once more that nobody could take: a shard that is not owned yet.
	again = time.Second
	// settle is how long the files have to be left alone before they are read: editors write in several steps.
	settle = 50 * time.Millisecond
	// patience is how long it is waited for that.
	patience = time.Second
	// applyTimeout is how long a reload may take.
	applyTimeout = 10 * time.Second
)

// Config says what is watched, and who puts it in force.
type Config struct {
	Dir string // has a folder for each service type, and one for the shard
	// InForce is what runs already, by folder: it is not applied again.
	InForce map[string][]script.Module
	// Apply puts all modules of a folder in force; what says what they changed, "" for nothing. With an *rpc.Error of
	// Unavailable it is tried again.
	Apply  func(ctx context.Context, folder string, modules []script.Module) (what string, err error)
	Logger *slog.Logger // nil: slog.Default()
}

// Watcher follows a folder. It has one goroutine, that of Run.
type Watcher struct {
	cfg     Config
	watcher *fsnotify.Watcher
	log     *slog.Logger
	tried   map[string]string // folder → hash of the modules that were applied last
	tree    tree              // that is watched
}

// Watch begins to watch: what is saved from now on is seen by Run.
func Watch(c Config) (*Watcher, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	f := &Watcher{cfg: c, watcher: w, log: c.Logger, tried: map[string]string{}}
	for folder, modules := range c.InForce {
		f.tried[folder] = script.SHA256(modules)
	}
	if err := f.follow(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return f, nil
}

// Close ends Run.
func (f *Watcher) Close() error { return f.watcher.Close() }

// Run applies what is there and not in force, and then what is saved, once the folder is quiet after a change.
func (f *Watcher) Run(ctx context.Context) {
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	first := time.Time{} // change that was not read yet
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
			f.log.Warn("some changes of the scripts' folder are not seen", "dir", f.cfg.Dir, "error", err)
		case <-quiet.C:
			first = time.Time{}
			if err := f.follow(); err != nil { // folders and links that are new
				f.log.Warn("some changes of the scripts' folder are not seen", "dir", f.cfg.Dir, "error", err)
			}
			for _, folder := range f.folders() {
				if !f.reload(ctx, folder) {
					quiet.Reset(again)
				}
			}
		}
	}
}

// reload puts a folder's modules in force if they are not those that were tried last. False: nobody is there to do it now.
func (f *Watcher) reload(ctx context.Context, folder string) (tried bool) {
	modules, err := script.ReadFolder(os.DirFS(f.cfg.Dir), folder)
	if err != nil {
		f.log.Error("scripts cannot be read: what was in force stays", "folder", folder, "error", err)
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
	case errors.As(err, &e) && e.Code == rpc.Unavailable:
		f.log.Debug("scripts are not reloaded yet", "folder", folder, "error", err)
		delete(f.tried, folder)
		return false
	case err != nil:
		f.log.Error("scripts are not reloaded: what was in force stays", "folder", folder, "error", err)
	case what != "":
		f.log.Info("scripts reloaded", "folder", folder, "what", what)
	}
	return true
}

// follow watches what the folder consists of now, and nothing else.
func (f *Watcher) follow() (err error) {
	next, err := walk(f.cfg.Dir)
	for _, dir := range f.watcher.WatchList() {
		if !next.watches(dir) {
			_ = f.watcher.Remove(dir) // it may be gone
		}
	}
	f.tree = next
	for dir := range next.dirs() {
		err = errors.Join(err, f.watcher.Add(dir))
	}
	return err
}

// folders are the service types, and the shard, that have scripts.
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
