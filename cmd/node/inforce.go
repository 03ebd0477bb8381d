package node

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/systems/script"
)

// scriptsBucket holds what reloads have put in force: a kept, gzip of JSON, under <type>/<SHA-256 of the scripts that an
// instance came with>. An instance that starts later with the same scripts runs these in their place, and so does one that
// a reload did not reach. Those that came with others, another version of the game, have an entry of their own.
const scriptsBucket = "scripts"

// kept is a value of the bucket.
type kept struct {
	Generation uint64           `json:"generation"` // of two, the higher one is newer
	Reload     string           `json:"reload"`     // id of the reload
	SHA256     string           `json:"sha256"`     // of the modules
	Modules    []bus.ModuleJSON `json:"modules"`
}

// maxKept is the longest entry when it is unpacked: more than any set of modules takes.
const maxKept = 16 << 20

// packKept makes a value of what is in force.
func packKept(k kept) ([]byte, error) {
	b, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(b)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err == nil && packed.Len() > jetstream.MaxValue {
		err = fmt.Errorf("the scripts have %d bytes when they are compressed, more than the %d that can be kept for instances that start later", packed.Len(), jetstream.MaxValue)
	}
	return packed.Bytes(), err
}

// parseKept is the inverse of packKept.
func parseKept(value []byte) (k kept, err error) {
	r, err := gzip.NewReader(bytes.NewReader(value))
	if err != nil {
		return k, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxKept))
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	return k, err
}

// scripts keeps an instance's service and the bucket in step.
type scripts struct {
	kv      *jetstream.KV
	key     string
	service *service.Service
	log     *slog.Logger

	mu         sync.Mutex // of what follows, and of every change of what is in force
	generation uint64     // what is in force came with it; 0: the instance came with it
	reload     string     // its id
	unkept     bool       // it came in force here, and the bucket does not have it
	refused    uint64     // generation of what could not be put in force, so that it is tried and said once
}

// openScripts opens the bucket for an instance that comes with modules.
func (n *Node) openScripts(ctx context.Context, i *instance, modules []script.Module) (*scripts, error) {
	kv, err := jetstream.OpenKV(ctx, n.cluster.NATS, n.config.Cluster, scriptsBucket, jetstream.KVOptions{Replicas: n.config.Replicas})
	return &scripts{kv: kv, key: i.config.Type + "/" + script.SHA256(modules), log: n.config.Log.With("service", i.config.Type, "instance", i.id)}, err
}

// read returns what the bucket has; generation 0 where it has nothing, or nothing that can be read.
func (s *scripts) read(ctx context.Context) (k kept, revision uint64, err error) {
	value, revision, err := s.kv.Get(ctx, s.key)
	if err != nil || revision == 0 {
		return k, revision, err
	}
	return s.parse(value), revision, nil
}

func (s *scripts) parse(value []byte) kept {
	k, err := parseKept(value)
	if err != nil {
		s.log.Error("the scripts that were reloaded cannot be read: reload again (wind reload)", "key", s.key, "error", err)
		return kept{}
	}
	return k
}

// prepare is a step of a reload: it answers with the report of the dry run.
func (s *scripts) prepare(step bus.ReloadStep) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.service.Modules()
	changes := step.Replacing(now)
	report, err := s.service.Prepare(step.Reload, changes)
	if err == nil {
		if _, err = packKept(kept{Modules: bus.ModulesJSON(merged(now, changes), true)}); err != nil {
			s.service.Abort(step.Reload)
		}
	}
	if err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	return json.Marshal(map[string]any{"report": report, "generation": max(s.generation, s.refused)})
}

// merged is modules with the changes of a reload.
func merged(modules, changes []script.Module) (all []script.Module) {
	changed := map[string]bool{}
	for _, m := range changes {
		changed[m.Name] = true
	}
	for _, m := range modules {
		if !changed[m.Name] {
			all = append(all, m)
		}
	}
	return append(all, changes...)
}

// commit is a step of a reload. What is in force is kept, now or, when the bucket does not answer, later.
func (s *scripts) commit(ctx context.Context, step bus.ReloadStep) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if step.Reload == s.reload && step.Generation == s.generation {
		s.service.Abort(step.Reload)
		return nil // another instance had kept it, and this one has followed already
	}
	if step.Generation != 0 && step.Generation <= max(s.generation, s.refused) {
		s.service.Abort(step.Reload)
		return rpc.Errorf(rpc.FailedPrecondition, "another reload came in between: begin it anew")
	}
	if err := s.service.Commit(step.Reload); err != nil {
		return rpc.Errorf(rpc.FailedPrecondition, "%v", err)
	}
	s.generation, s.reload, s.unkept = max(step.Generation, s.generation+1), step.Reload, true
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := s.keep(ctx); err != nil {
		s.log.Warn("an instance that starts now would not run what was reloaded: this one tries on to keep it", "error", err)
	}
	return nil
}

// keepTries is how often an instance tries at once to write what others write, too.
const keepTries = 10

// keep writes what is in force into the bucket, unless the same or something newer is there. The mutex is held.
func (s *scripts) keep(ctx context.Context) error {
	modules := s.service.Modules()
	value, err := packKept(kept{Generation: s.generation, Reload: s.reload, SHA256: script.SHA256(modules), Modules: bus.ModulesJSON(modules, true)})
	for try := 0; err == nil; try++ {
		var k kept
		var revision uint64
		if k, revision, err = s.read(ctx); err != nil {
			break
		}
		if k.Generation >= s.generation {
			s.unkept = false
			return nil
		}
		var ok bool
		if _, ok, err = s.kv.Put(ctx, s.key, value, revision); ok {
			s.unkept = false
			return nil
		}
		if err == nil && try == keepTries {
			err = fmt.Errorf("others wrote at the same time, %d times", keepTries)
		}
	}
	return err
}

// How often an instance looks at the bucket beside watching it, and how long that may take.
const (
	lookEvery   = 10 * time.Second
	lookTimeout = 5 * time.Second
)

// follow puts in force what a reload did not bring here, and keeps what it brought, until ctx ends. It watches, and also looks
// from time to time: a bucket can be lost.
func (s *scripts) follow(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		for ctx.Err() == nil {
			if err := s.kv.Watch(ctx, s.key, func(value []byte, _ uint64) { s.catchUp(s.parse(value)) }); err != nil {
				s.log.Debug("what is reloaded elsewhere is seen late", "error", err)
			}
			select {
			case <-time.After(lookEvery):
			case <-ctx.Done():
			}
		}
	})
	every(ctx, lookEvery, func() {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		k, _, err := s.read(ctx)
		if err == nil {
			s.catchUp(k)
			err = s.keepLate(ctx, k)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("what is reloaded cannot be followed for now", "error", err)
		}
	})
}

// keepLate keeps what was not, or is not any more.
func (s *scripts) keepLate(ctx context.Context, k kept) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.Generation < s.generation || s.unkept {
		return s.keep(ctx)
	}
	return nil
}

// catchUp puts k in force if it is newer than what is, or another set of the same generation: then it was kept first.
func (s *scripts) catchUp(k kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.Generation < s.generation || k.Generation <= s.refused {
		return
	}
	if k.SHA256 == script.SHA256(s.service.Modules()) {
		s.generation, s.reload, s.unkept = k.Generation, k.Reload, false
		return
	}
	if err := s.apply(k); err != nil {
		s.refused = k.Generation
		s.log.Error("what was reloaded elsewhere cannot be put in force here: reload again (wind reload)", "reload", k.Reload, "error", err)
		return
	}
	s.generation, s.reload, s.unkept = k.Generation, k.Reload, false
	s.log.Info("what was reloaded without this instance is in force here", "reload", k.Reload)
}

// apply puts k in force. The mutex is held.
func (s *scripts) apply(k kept) error {
	modules, err := bus.ParseModules(k.Modules)
	if err != nil {
		return err
	}
	id := k.Reload + " (followed)" // beside what an operator may have prepared
	if _, err := s.service.Prepare(id, bus.InPlaceOf(s.service.Modules(), modules)); err != nil {
		return err
	}
	return s.service.Commit(id)
}

// begin makes the service of an instance that comes with c.Scripts: with what is kept in their place, if that fits this binary.
func (s *scripts) begin(ctx context.Context, c service.Config) (*service.Service, error) {
	k, _, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if k.Generation > 0 && k.SHA256 != script.SHA256(c.Scripts) {
		kept := c
		if kept.Scripts, err = bus.ParseModules(k.Modules); err == nil {
			s.service, err = service.New(kept)
		}
		if err == nil {
			s.generation, s.reload = k.Generation, k.Reload
			s.log.Info("what was reloaded is in force, not the scripts that this instance came with", "reload", k.Reload)
			return s.service, nil
		}
		s.refused = k.Generation
		s.log.Error("what was reloaded does not fit this binary: the scripts that it came with are in force", "reload", k.Reload, "error", err)
	}
	s.service, err = service.New(c)
	return s.service, err
}

// insist makes the service of an instance whose folder says what it runs, whatever is kept: others follow.
func (s *scripts) insist(ctx context.Context, c service.Config) (*service.Service, error) {
	k, _, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if s.service, err = service.New(c); err != nil || k.Generation == 0 {
		return s.service, err
	}
	s.generation, s.reload = k.Generation, k.Reload
	if k.SHA256 != script.SHA256(c.Scripts) {
		s.generation, s.reload, s.unkept = k.Generation+1, "the folder of "+c.ID, true
		err = s.keep(ctx)
	}
	return s.service, err
}
