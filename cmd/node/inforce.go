package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/systems/script"
)

// scriptsBucket holds the scripts that were reloaded, by type of service: what an instance runs that starts later, or that
// a reload did not reach.
const scriptsBucket = "scripts"

// inForce is a value of the bucket.
type inForce struct {
	Reload  string           `json:"reload"` // id of the reload
	Bases   []string         `json:"bases"`  // SHA-256 of the scripts that instances came with which run these in their place
	SHA256  string           `json:"sha256"` // of the modules
	Modules []bus.ModuleJSON `json:"modules"`
}

// maxBases bounds the list; the oldest ones go.
const maxBases = 32

// replaces reports whether an instance that came with the scripts of that hash runs these.
func (f *inForce) replaces(base string) bool { return slices.Contains(f.Bases, base) }

// scripts are what an instance runs and where it is from.
type scripts struct {
	kv   *jetstream.KV
	kind string // type of the service
	log  *slog.Logger
	base string // SHA-256 of the modules that the instance came with

	mu     sync.Mutex
	reload string          // the newest one that is in force here; "": none
	passed map[string]bool // reloads that are or were in force here: what is older than they are is not gone back to
}

// openScripts opens the bucket for an instance that comes with modules.
func (n *Node) openScripts(ctx context.Context, kind string, modules []script.Module) (*scripts, error) {
	kv, err := jetstream.OpenKV(ctx, n.cluster.NATS, n.config.Cluster, scriptsBucket, jetstream.KVOptions{Replicas: n.config.Replicas})
	return &scripts{kv: kv, kind: kind, log: n.config.Log, base: script.SHA256(modules), passed: map[string]bool{}}, err
}

// current is what is in force in the place of what the instance came with; reload is "" when nothing is.
func (s *scripts) current(ctx context.Context) (reload string, modules []script.Module, err error) {
	f, _, err := s.read(ctx)
	if err != nil || !f.replaces(s.base) || f.SHA256 == s.base {
		return "", nil, err
	}
	if modules, err = bus.ParseModules(f.Modules); err != nil {
		s.log.Error("the scripts that were reloaded are damaged: reload again (wind reload)", "service", s.kind, "reload", f.Reload, "error", err)
		return "", nil, nil
	}
	return f.Reload, modules, nil
}

// read returns what is kept of the type; one that replaces nothing where nothing is, or where it cannot be read.
func (s *scripts) read(ctx context.Context) (f inForce, revision uint64, err error) {
	value, revision, err := s.kv.Get(ctx, s.kind)
	if err != nil || revision == 0 {
		return f, revision, err
	}
	return s.parse(value), revision, nil
}

func (s *scripts) parse(value []byte) (f inForce) {
	if err := json.Unmarshal(value, &f); err != nil {
		s.log.Error("the scripts that were reloaded cannot be read: reload again (wind reload)", "service", s.kind, "error", err)
		return inForce{}
	}
	return f
}

// enter notes that a reload is in force here.
func (s *scripts) enter(reload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reload, s.passed[reload] = reload, true
}

// has reports whether a reload is or was in force here, and whether it is the newest.
func (s *scripts) has(reload string) (passed, newest bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passed[reload], s.reload == reload
}

// keepTries is how often an instance tries to write what others write, too.
const keepTries = 10

// keep writes what the instance runs into the bucket, for those that came with the same scripts. A reload that is not the
// newest here is not kept: another one came after it.
func (s *scripts) keep(ctx context.Context, reload string, modules []script.Module) error {
	for range keepTries {
		if _, newest := s.has(reload); !newest {
			return nil
		}
		f, revision, err := s.read(ctx)
		if err != nil {
			return err
		}
		next := inForce{Reload: reload, SHA256: script.SHA256(modules), Modules: bus.ModulesJSON(modules, true)}
		if f.Reload == reload && f.replaces(s.base) {
			return nil
		}
		if passed, _ := s.has(f.Reload); passed { // this one is on top of it
			next.Bases = f.Bases
		}
		if !next.replaces(s.base) {
			next.Bases = append(next.Bases, s.base)
		}
		next.Bases = next.Bases[max(0, len(next.Bases)-maxBases):]
		value, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if _, ok, err := s.kv.Put(ctx, s.kind, value, revision); ok || err != nil {
			return err
		}
	}
	return rpc.Errorf(rpc.Aborted, "others wrote the scripts in force at the same time, %d times", keepTries)
}

// followAgain is the pause before a watch that ended is begun anew.
const followAgain = time.Second

// follow puts in force what a reload did not bring here, until ctx ends.
func (i *instance) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := i.scripts.kv.Watch(ctx, i.scripts.kind, func(value []byte, _ uint64) {
			if err := i.catchUp(i.scripts.parse(value)); err != nil {
				i.log.Error("the scripts in force in the cluster are not in force here: reload again (wind reload)", "service", i.config.Type, "instance", i.id, "error", err)
			}
		})
		if err != nil {
			i.log.Warn("what is reloaded elsewhere is not seen for a while", "service", i.config.Type, "instance", i.id, "error", err)
			select {
			case <-time.After(followAgain):
			case <-ctx.Done():
			}
		}
	}
}

// catchUp puts f in force unless it, or something newer, is or was.
func (i *instance) catchUp(f inForce) error {
	if passed, _ := i.scripts.has(f.Reload); passed || !f.replaces(i.scripts.base) {
		return nil
	}
	if f.SHA256 == script.SHA256(i.service.Modules()) {
		i.scripts.enter(f.Reload)
		return nil
	}
	modules, err := bus.ParseModules(f.Modules)
	if err != nil {
		return err
	}
	id := f.Reload + " (followed)" // beside one that an operator may have prepared
	if _, err := i.service.Prepare(id, bus.InPlaceOf(i.service.Modules(), modules)); err != nil {
		return err
	}
	if err := i.service.Commit(id); err != nil {
		return err
	}
	i.scripts.enter(f.Reload)
	i.log.Info("scripts that were reloaded without this instance are in force here", "service", i.config.Type, "instance", i.id, "reload", f.Reload)
	return nil
}

// keepTimeout bounds what one instance takes to keep a reload.
const keepTimeout = 10 * time.Second

// keep has the instances keep what they run, for those that start later.
func (c *Cluster) keep(ctx context.Context, serviceType string, instances []string, reload string) error {
	body, err := json.Marshal(map[string]string{"reload": reload})
	if err != nil {
		return err
	}
	for _, id := range instances { // one after another: all of them write one entry
		ctx, cancel := context.WithTimeout(ctx, keepTimeout)
		_, err := c.Bus.Admin(ctx, serviceType, id, "keep", body)
		cancel()
		if err != nil {
			return fmt.Errorf("the scripts are in force, and an instance of %s that starts later may not have them: reload again: %s: %w", serviceType, id, err)
		}
	}
	return nil
}
