package node

import (
	"context"
	"errors"
	"io/fs"
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

// again is the pause before scripts are tried once more that nobody could take: a shard that is not owned yet.
const again = time.Second

// settle is how long the files have to be left alone before they are read: editors write in several steps.
const settle = 50 * time.Millisecond

// reloader puts scripts in force that were saved in a folder. It has one goroutine.
type reloader struct {
	dir     string
	watcher *fsnotify.Watcher
	log     *slog.Logger
	// apply puts the modules of a folder (a service type, or shard) in force; what says what they changed.
	apply   func(ctx context.Context, folder string, modules []script.Module) (what string, err error)
	inForce map[string]string // folder → hash of its modules
}

// watchScripts reloads what is saved below dir until the node closes.
func (n *Node) watchScripts(dir string) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	r := &reloader{dir: dir, watcher: w, log: n.config.Log, apply: n.applyScripts, inForce: map[string]string{}}
	if err := r.follow(); err != nil {
		return errors.Join(err, w.Close())
	}
	for _, i := range n.instances { // they have read it before; the shard has its own scripts, in its log
		r.inForce[i.config.Type] = script.SHA256(i.service.Modules())
	}
	n.onClose(w.Close)
	n.alongside(r.run)
	return nil
}

// run reloads once the folder is quiet after a change.
func (r *reloader) run(ctx context.Context) {
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-r.watcher.Events:
			if !ok {
				return
			}
			quiet.Reset(settle)
		case err, ok := <-r.watcher.Errors:
			if !ok {
				return
			}
			r.log.Warn("the scripts' folder is not watched completely", "dir", r.dir, "error", err)
		case <-quiet.C:
			if err := r.follow(); err != nil { // folders that are new
				r.log.Warn("the scripts' folder is not watched completely", "dir", r.dir, "error", err)
			}
			for _, folder := range r.folders() {
				if !r.reload(ctx, folder) {
					quiet.Reset(again)
				}
			}
		}
	}
}

// reload puts a folder's modules in force if they are not those that were tried last. False: nobody is there to do it now.
func (r *reloader) reload(ctx context.Context, folder string) (tried bool) {
	modules, err := Scripts(os.DirFS(r.dir), folder)
	if err != nil {
		r.log.Error("scripts cannot be read: what was in force stays", "folder", folder, "error", err)
		return true
	}
	hash := script.SHA256(modules)
	if r.inForce[folder] == hash {
		return true
	}
	r.inForce[folder] = hash
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	what, err := r.apply(ctx, folder, modules)
	switch e := (*rpc.Error)(nil); {
	case errors.As(err, &e) && e.Code == rpc.Unavailable:
		r.log.Debug("scripts are not reloaded yet", "folder", folder, "error", err)
		delete(r.inForce, folder)
		return false
	case err != nil:
		r.log.Error("scripts are not reloaded: what was in force stays", "folder", folder, "error", err)
	case what != "":
		r.log.Info("scripts reloaded", "folder", folder, "what", what)
	}
	return true
}

// follow watches every folder below dir; one that is watched already stays so.
func (r *reloader) follow() error {
	return filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if path != r.dir && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		return r.watcher.Add(path)
	})
}

// folders are the service types, and shard, that have scripts.
func (r *reloader) folders() (names []string) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}
