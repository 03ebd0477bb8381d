package service

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Folders of handlers in scripts, and the prefix of their names.
const (
	clientFolder  = "handlers_client/"
	serverFolder  = "handlers_server/"
	handlerPrefix = "Handler_"
)

// entry is the handler of one message.
type entry struct {
	message *message
	place   string // where the handler is defined, for errors
	run     func(*Ctx, *rpc.Request) (proto.Message, error)
}

// table holds the handlers in force. It never changes: a reload makes another one.
type table struct {
	client, server map[string]*entry
	set            *script.Set
	scripts        *collected
	retired        chan struct{}
}

// of returns the handlers for r's sender.
func (t *table) of(r *rpc.Request) map[string]*entry {
	if r.FromClient() {
		return t.client
	}
	return t.server
}

// near returns the handler that a caller may have meant.
func (t *table) near(r *rpc.Request) string {
	return ecs.Nearest(r.Message, slices.Sorted(maps.Keys(t.of(r))))
}

// retire ends the table's timers.
func (t *table) retire() { close(t.retired) }

func (t *table) isRetired() bool {
	select {
	case <-t.retired:
		return true
	default:
		return false
	}
}

// tableOf combines the handlers of set with those in Go.
func (s *Service) tableOf(set *script.Set, x *collected) (*table, error) {
	if err := misplaced(set); err != nil {
		return nil, err
	}
	t := &table{client: maps.Clone(s.clientGo), server: maps.Clone(s.serverGo), set: set, scripts: x, retired: make(chan struct{})}
	for _, folder := range []string{clientFolder, serverFolder} {
		into := t.client
		if folder == serverFolder {
			into = t.server
		}
		for _, f := range set.Functions(folder, handlerPrefix) {
			name := strings.TrimPrefix(f.Name, handlerPrefix)
			m, err := s.messages.find(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", f.Place(), f.Name, err)
			}
			if other := into[name]; other != nil {
				return nil, fmt.Errorf("%s: %s: %s already handles %s", f.Place(), f.Name, other.place, name)
			}
			into[name] = &entry{message: m, place: f.Place().String(), run: s.runScript(f, m)}
		}
	}
	return t, s.reachable(t)
}

// misplaced finds handlers that would never be called, because they are in the wrong folder or their names have the
// prefix in another case.
func misplaced(set *script.Set) error {
	for _, f := range set.Functions("", "") {
		folder, _, _ := strings.Cut(f.Module, "/")
		inside := folder+"/" == clientFolder || folder+"/" == serverFolder
		has := strings.HasPrefix(f.Name, handlerPrefix)
		switch {
		case has && !inside:
			return fmt.Errorf("%s: %s: handlers belong in %s*.star and %s*.star", f.Place(), f.Name, clientFolder, serverFolder)
		case inside && !has && len(f.Name) > len(handlerPrefix) && strings.EqualFold(f.Name[:len(handlerPrefix)], handlerPrefix):
			return fmt.Errorf("%s: %s: handlers are named %s<Message>", f.Place(), f.Name, handlerPrefix)
		}
	}
	return cmp.Or(set.OnlyFunctions(clientFolder, handlerPrefix), set.OnlyFunctions(serverFolder, handlerPrefix))
}

// reachable returns an error if a message that sessions may send without a login has no handler: no player could log in.
func (s *Service) reachable(t *table) error {
	for _, list := range []struct {
		field string
		names []string
	}{{"Login", s.cfg.Login}, {"Public", s.cfg.Public}} {
		for _, name := range list.names {
			switch {
			case t.client[name] != nil:
			case t.server[name] != nil:
				return fmt.Errorf("service %s: %s names %s, whose handler is for services: clients cannot reach it", s.cfg.Type, list.field, name)
			default:
				return fmt.Errorf("service %s: %s names %s, which has no handler: write a method %s in Go, or %s%s in %s*.star", s.cfg.Type, list.field, name, name, handlerPrefix, name, clientFolder)
			}
		}
	}
	return nil
}

// enforce swaps in a whole table. Running handlers continue with the one they began with.
func (s *Service) enforce(t *table) {
	t.scripts.memory.live.Store(true)
	if old := s.table.Swap(t); old != nil {
		old.retire()
	}
	for _, x := range t.scripts.timers {
		s.begin(x, t)
	}
}

// Methods lists, sorted by name, what the service handles for clients. It is for the service's registration.
func (s *Service) Methods() []rpc.Method {
	t := s.table.Load()
	var all []rpc.Method
	for _, name := range slices.Sorted(maps.Keys(t.client)) {
		m := rpc.Method{Name: name, ID: t.client[name].message.id, Login: slices.Contains(s.cfg.Login, name), Public: slices.Contains(s.cfg.Public, name)}
		if answer := s.messages[rpc.AnswerName(name)]; answer != nil {
			m.Answer = answer.id
		}
		all = append(all, m)
	}
	return all
}
