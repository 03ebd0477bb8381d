package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence/wait"
)

// Main runs the verbs for game and ends the process with one of the exit codes 0 (done), 1 (failed), 2 (wrong usage)
// and 3 (a check found a divergence or a broken invariant).
func Main(game ecs.Game, opts ...Option) {
	os.Exit(Run(game, os.Args[1:], os.Stdout, os.Stderr, opts...))
}

// Run parses args, runs the verb and returns the exit code, as Main does, without ending the process. Results go to stdout;
// logs, progress and errors go to stderr, one write at a time. SIGINT or SIGTERM stops the verb in order; a second one kills the process.
func Run(game ecs.Game, args []string, stdout, stderr io.Writer, opts ...Option) int {
	return newApp(newSelf(os.Args[0]), game, stdout, stderr, opts).run(args)
}

func newApp(me *self, game ecs.Game, stdout, stderr io.Writer, opts []Option) *app {
	first := newProgram(game, opts)
	return &app{program: first, games: append(games{first}, first.others...), self: me, stdout: stdout, stderr: &output{w: stderr}}
}

func (a *app) run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := a.execute(ctx, asHelp(args))
	a.repeats.close()
	if err != nil && !a.started {
		err = usageError{err}
	}
	if err != nil {
		text := err.Error()
		if exitCode(err) == exitUsage {
			text = inVariables(text, a.variables)
		}
		fmt.Fprintf(a.stderr, "%s: %s\n", a.self.name, a.self.spell(text))
	}
	return exitCode(err)
}

// execute runs the verb that args name.
func (a *app) execute(ctx context.Context, args []string) error {
	if err := a.choose(args); err != nil {
		return err
	}
	if err := a.optionClash(); err != nil {
		a.started = true // only the game's author can fix this: no other call helps
		return err
	}
	root := a.root()
	if err := misspelled(root, args); err != nil {
		return err
	}
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// app is one call of the binary: the game, the outputs and the global flags.
type app struct {
	*program
	self      *self
	games     games
	named     bool // --game was given
	stdout    io.Writer
	stderr    *output
	json      bool
	level     string
	log       *slog.Logger
	repeats   repeats  // log's handler
	variables []string // flags that environment variables set
	started   bool     // the verb itself has begun: from here on, an error is a failure, not wrong usage
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   a.self.name,
		Short: "Event-sourced ECS simulation server for real-time multiplayer games",
		Long: `Wind runs shards: deterministic fixed-tick ECS worlds whose every tick is committed to a NATS JetStream
log before any client sees it. Any committed tick can be rebuilt from the log, on any machine, bit for bit. A room is a shard
that somebody asks for and that ends, such as a match.

The game is "` + a.game.Name + `", ` + fmt.Sprint(a.game.TickRate) + ` ticks per second.

Every flag can also be set by an environment variable: ` + envPrefix + ` and the flag's name in capitals, with _ for -
(` + envName("log-level") + ` for --log-level). A flag on the command line wins; an empty variable counts as unset.`,
		Example:       "  wind dev --bots 50\n  wind room create --idle 1m --for 10m\n  wind replay --data ./wind-data --verify\n  wind log tail --data ./wind-data",
		SilenceErrors: true,
		SilenceUsage:  true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: a.self.program},
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			err := first(checkTexts(c.Flags()), onePlace(c.Flags()))
			if err == nil {
				a.variables, err = fromEnv(c.Flags())
			}
			if err != nil {
				return err
			}
			a.self.lookAt(c.Flags())
			if err := a.openLog(); err != nil {
				return err
			}
			for _, stray := range strayVariables(os.Environ(), a.flagNames(c.Root())) {
				a.log.Warn(stray)
			}
			return nil
		},
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().StringVar(&a.level, "log-level", "info", "lowest level to log to stderr: debug, info, warn or error")
	if len(a.games) > 1 {
		root.PersistentFlags().String("game", a.games[0].game.Name, "the game: "+strings.Join(a.games.names(), ", "))
	}
	root.AddCommand(a.dev(), a.serve(), a.infra(), a.gateway(), a.service(), a.bots(), a.replay(), a.logVerb(), a.shardVerb(), a.roomVerb(), a.ps(), a.call(), a.reload(), a.drain(), a.stop(), a.gen(), a.bench(), a.doctor(), a.init(), a.version())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SetFlagErrorFunc(flagError)
	a.self.learn(root)
	return root
}

func (a *app) openLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.level)); err != nil {
		return fmt.Errorf("--log-level %q is not debug, info, warn or error", a.level)
	}
	a.repeats = newRepeats(speaker{slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}), a.self})
	a.log = slog.New(a.repeats)
	slog.SetDefault(a.log) // for packages without a logger of their own
	return nil
}

// verb wraps a command's function: an error that run returns is a failure, not wrong usage, unless it is a usageError.
func (a *app) verb(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		a.started = true
		err := run(wait.With(c.Context(), wait.NewList(a.log)), args)
		if p, ok := errors.AsType[*ecs.SetupPanic](err); ok {
			a.log.Debug("the game's Setup panicked", "place", p.Place, "stack", p.Stack)
		}
		var usage usageError
		if errors.As(err, &usage) && !strings.HasPrefix(err.Error(), pathOf(c)+": ") {
			return fmt.Errorf("%s: %w", pathOf(c), err)
		}
		return err
	}
}

func (a *app) jsonFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.json, "json", false, "print the result as one JSON object on stdout")
}

// print writes a result: as JSON with --json, otherwise as lines.
func (a *app) print(result any, lines ...string) error {
	if a.json {
		enc := json.NewEncoder(a.stdout)
		return enc.Encode(result)
	}
	_, err := io.WriteString(a.stdout, a.self.spell(strings.Join(lines, "\n"))+"\n")
	return err
}

// tell writes a line to stderr for the person who started the verb.
func (a *app) tell(format string, args ...any) {
	fmt.Fprintln(a.stderr, a.self.spell(fmt.Sprintf(format, args...)))
}
