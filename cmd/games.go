package cmd

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/persistence"
)

// program is a game with what belongs to it in this binary.
type program struct {
	game      ecs.Game
	bot       newBot
	services  []node.Service
	auth      gateway.Authenticator // nil: the player that a login names is believed
	scripts   fs.FS                 // nil: none
	scriptDir string                // where scripts were when the binary was built; "" when that is not on this machine
	others    games                 // that --game may name instead
}

func newProgram(game ecs.Game, opts []Option) *program {
	p := &program{game: game, bot: wanderer(game)}
	for _, o := range opts {
		o(p)
	}
	return p
}

// Option adds to what the verbs know of a game.
type Option func(*program)

// WithServices says which types of service belong to the game: `dev` runs one instance of each, `service TYPE` runs one
// of them alone.
func WithServices(services ...node.Service) Option {
	return func(p *program) { p.services = append(p.services, services...) }
}

// WithAuthenticator says who logs in at the game's gateways, in `dev` and in `gateway`. Without it they believe the field
// player_id of the login message, which is for development.
func WithAuthenticator(a gateway.Authenticator) Option {
	return func(p *program) { p.auth = a }
}

// WithScripts gives the game its scripts: a folder for each service type, named after it, and one named shard. dir is
// where they are on the machine that the binary was built on ("" if nowhere): there `dev` reloads what is saved, and
// `reload` reads what has changed.
func WithScripts(scripts fs.FS, dir string) Option {
	return func(p *program) {
		p.scripts = scripts
		if info, err := os.Stat(dir); dir != "" && err == nil && info.IsDir() {
			p.scriptDir = dir
		}
	}
}

// WithGame puts another game into the binary, which --game chooses.
func WithGame(game ecs.Game, opts ...Option) Option {
	return func(p *program) { p.others = append(p.others, newProgram(game, opts)) }
}

// games are those of a binary; the first one is meant where --game does not say otherwise.
type games []*program

// named returns the program of a game, or says which ones there are.
func (g games) named(name string) (*program, error) {
	for _, p := range g {
		if p.game.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("there is no game %q in this binary%s (it has %s)", name, didYouMean("", nearest(name, g.names())), strings.Join(g.names(), " and "))
}

func (g games) names() (names []string) {
	for _, p := range g {
		names = append(names, p.game.Name)
	}
	return names
}

// choose makes the game that args name the one that is meant.
func (a *app) choose(args []string) (err error) {
	name, ok := chosen(args)
	if !ok {
		name = os.Getenv(envName("game"))
	}
	if name == "" && !ok || len(a.games) == 1 {
		return nil
	}
	a.named = true
	a.program, err = a.games.named(name)
	return err
}

// chosen returns the value of --game among args. A game's options are flags, so the game has to be known before the
// flags can be read.
func chosen(args []string) (name string, ok bool) {
	for i, arg := range args {
		switch value, found := strings.CutPrefix(arg, "--game"); {
		case arg == "--":
			return "", false
		case !found:
		case value == "" && i+1 < len(args):
			return args[i+1], true
		case strings.HasPrefix(value, "="):
			return value[1:], true
		}
	}
	return "", false
}

// adopt takes the game that a history was made by, when the caller named none and this binary has it.
func (a *app) adopt(ctx context.Context, s persistence.Source) {
	if a.named || len(a.games) < 2 {
		return
	}
	m, err := s.Log.Get(ctx, 1)
	if err != nil {
		return // whoever reads the history says what is wrong with it
	}
	r, err := persistence.DecodeRecord(m.Body)
	if err != nil || r.Genesis == nil {
		return
	}
	if p, err := a.games.named(r.Genesis.Game); err == nil {
		a.program = p
	}
}
