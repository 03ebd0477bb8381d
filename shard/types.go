package shard

import (
	"sync"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// types are the schemas of a crew's worlds. Thousands of rooms have few different ones, each of some KiB and with a layout.
type types struct {
	mu     sync.Mutex
	games  map[string]kind   // by options
	like   *ecs.World        // of the game, for ecs.Config
	shared map[string]*typed // by JSON
}

// kind is what a game is with some options.
type kind struct {
	*typed
	tickRate int
}

// typed is a schema.
type typed struct {
	json   []byte
	hash   uint64
	layout *persistence.Layout
}

// mostTypes bounds the options, and the schemas, that are remembered.
const mostTypes = 256

// of returns what a game is with some canonical options. It runs the game's Setup only if it has not seen the options.
func (t *types) of(game ecs.Game, c ecs.Config) (kind, error) {
	t.mu.Lock()
	known, ok := t.games[string(c.Options)]
	t.mu.Unlock()
	if ok {
		return known, nil
	}
	w, err := ecs.New(game, c) // may take long, or never return
	if err != nil {
		return kind{}, err
	}
	is := kind{t.share(w.Schema()), w.Game().TickRate}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.like == nil {
		t.like = w
	}
	if t.games == nil || len(t.games) >= mostTypes {
		t.games = map[string]kind{}
	}
	t.games[string(c.Options)] = is
	return is, nil
}

// world returns the world of tick 0.
func (t *types) world(game ecs.Game, c ecs.Config) (*ecs.World, error) {
	t.mu.Lock()
	c.Like = t.like
	t.mu.Unlock()
	return ecs.New(game, c)
}

// share returns the one copy of a schema.
func (t *types) share(s *ecs.Schema) *typed {
	text := s.JSON()
	t.mu.Lock()
	defer t.mu.Unlock()
	if is := t.shared[string(text)]; is != nil {
		return is
	}
	if t.shared == nil || len(t.shared) >= mostTypes {
		t.shared = map[string]*typed{}
	}
	is := &typed{text, s.Hash(), persistence.LayoutOf(s)}
	t.shared[string(text)] = is
	return is
}
