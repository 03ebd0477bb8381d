package cmd

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/ferris1/wind/cmd/fleet"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/persistence"
)

// program is a game with its bots, services and scripts in this binary.
type program struct {
	game      ecs.Game
	bot       newBot
	services  []node.Service
	lobby     *Lobby                  // nil: the game has none
	auth      gateway.Authenticator   // nil: gateways believe the player that a login names
	scripts   fs.FS                   // nil: no scripts
	scriptDir string                  // the scripts' folder when the binary was built; "" if it is not on this machine
	stores    map[string]openArchives // object stores for archives, by the scheme of their URLs
	others    games                   // the other games that --game may name
}

func newProgram(game ecs.Game, opts []Option) *program {
	p := &program{game: game, bot: wanderer(game)}
	for _, o := range opts {
		o(p)
	}
	return p
}

// Option configures what the verbs do with a game.
type Option func(*program)

// WithServices adds types of service to the game: `dev` runs one instance of each, `service TYPE` runs an instance of one.
func WithServices(services ...node.Service) Option {
	return func(p *program) { p.services = append(p.services, services...) }
}

// Lobby is how a game's players find each other, and how its bots play through it.
type Lobby struct {
	Services []node.Service                    // dev runs them with --lobby alone
	Play     func(context.Context, fleet.Seat) // plays one match after another until the context ends
}

// WithLobby gives the game a lobby: `dev --lobby` runs its services, `service TYPE` runs an instance of one.
func WithLobby(l Lobby) Option {
	return func(p *program) {
		p.lobby = &l
		p.services = append(p.services, l.Services...)
	}
}

// standing returns the services that dev runs without --lobby.
func (p *program) standing() (services []node.Service) {
	for _, s := range p.services {
		if p.lobby == nil || !slices.ContainsFunc(p.lobby.Services, func(l node.Service) bool { return l.Type == s.Type }) {
			services = append(services, s)
		}
	}
	return services
}

// WithAuthenticator sets the authenticator of the game's gateways, in `dev` and in `gateway`. Without it they believe the
// field player_id of the login message, which is for development only.
func WithAuthenticator(a gateway.Authenticator) Option {
	return func(p *program) { p.auth = a }
}

// WithScripts sets the game's scripts: a folder for each service type, named after it, and one named shard. dir is their
// folder on the machine that built the binary, or "". If dir exists where the binary runs, `dev` reloads files saved there
// and `reload` reads them.
func WithScripts(scripts fs.FS, dir string) Option {
	return func(p *program) {
		p.scripts = scripts
		if info, err := os.Stat(dir); dir != "" && err == nil && info.IsDir() {
			p.scriptDir = dir
		}
	}
}

// WithGame adds another game to the binary; --game selects it.
func WithGame(game ecs.Game, opts ...Option) Option {
	return func(p *program) { p.others = append(p.others, newProgram(game, opts)) }
}

// games are the games of a binary. The first is the default of --game.
type games []*program

// named returns the program of a game, or an error that lists the binary's games.
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

// choose selects the game that args, or else the environment, name.
func (a *app) choose(args []string) (err error) {
	name, ok := chosen(args)
	if !ok {
		name = os.Getenv(envName("game"))
	}
	if name == "" && !ok || len(a.games) == 1 {
		return nil
	}
	a.named = true
	if a.program, err = a.games.named(name); err != nil && !ok {
		err = fmt.Errorf("%s: %w", envName("game"), err)
	}
	return err
}

// chosen returns the value of --game in args. A game's options are flags, so the game must be known before the flags are
// parsed.
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

// adopt selects the game that recorded a history, if the caller named none and this binary has it.
func (a *app) adopt(ctx context.Context, s persistence.Source) {
	if a.named || len(a.games) < 2 {
		return
	}
	m, err := s.Log.Get(ctx, 1)
	if err != nil {
		return // reading the history will report the error
	}
	r, err := persistence.DecodeRecord(m.Body)
	if err != nil || r.Genesis == nil {
		return
	}
	if p, err := a.games.named(r.Genesis.Game); err == nil {
		a.program = p
	}
}
