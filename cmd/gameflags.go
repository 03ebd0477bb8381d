package cmd

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/ferris1/wind/ecs"
)

// gameFlags are a game's options as flags of a verb, and --seed. Only options that the caller gave are passed on: an
// existing shard keeps the options of its genesis, and its node refuses a given option that differs.
type gameFlags struct {
	game   ecs.Game
	fields []ecs.OptionField
	set    *pflag.FlagSet
	seed   uint64
}

func addGameFlags(game ecs.Game, set *pflag.FlagSet) *gameFlags {
	fields, err := game.OptionFields()
	if err != nil {
		panic(err) // the author's mistake: no verb works until it is fixed
	}
	g := &gameFlags{game: game, fields: fields, set: set}
	set.Uint64Var(&g.seed, "seed", 1, "seed of a new shard's world")
	for _, f := range fields {
		usage := f.Usage
		if f.Min != "" && f.Max != "" {
			usage += fmt.Sprintf(" (%s to %s)", f.Min, f.Max)
		}
		addOption(set, f, usage)
		set.Lookup(f.Name).Annotations = map[string][]string{ofGame: {}}
	}
	return g
}

// optionClash returns an error if an option of the game has the name of a verb's own flag, or if the options cannot be flags.
func (a *app) optionClash() error {
	fields, err := a.game.OptionFields()
	if err != nil {
		return err
	}
	bare, plain := *a, *a.program
	plain.game.Options, bare.program = nil, &plain
	root := bare.root()
	for _, verb := range root.Commands() {
		if verb.Flags().Lookup("seed") == nil {
			continue // it does not take the game's flags
		}
		for _, f := range fields {
			if f.Name == "help" || verb.Flags().Lookup(f.Name) != nil || root.PersistentFlags().Lookup(f.Name) != nil {
				return fmt.Errorf("game %s: its option %s cannot become the flag --%s, which %s already has: rename it", a.game.Name, f.Field, f.Name, pathOf(verb))
			}
		}
	}
	return nil
}

// addOption declares one flag of the option's kind. A default always parses, since ecs formatted it from a value.
func addOption(set *pflag.FlagSet, f ecs.OptionField, usage string) {
	switch f.Kind {
	case reflect.Bool:
		v, _ := strconv.ParseBool(f.Default)
		set.Bool(f.Name, v, usage)
	case reflect.Int32, reflect.Int64:
		v, _ := strconv.ParseInt(f.Default, 10, 64)
		set.Int64(f.Name, v, usage)
	case reflect.Uint32, reflect.Uint64:
		v, _ := strconv.ParseUint(f.Default, 10, 64)
		set.Uint64(f.Name, v, usage)
	case reflect.Float64:
		v, _ := strconv.ParseFloat(f.Default, 64)
		set.Var((*finite)(&v), f.Name, usage)
	default:
		set.String(f.Name, f.Default, usage)
	}
}

// finite is the value of a flag for a number that JSON can write: neither NaN nor infinite.
type finite float64

// Set implements pflag.Value.
func (n *finite) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = strconv.ErrSyntax
	}
	*n = finite(v)
	return err
}

// String implements pflag.Value.
func (n *finite) String() string { return strconv.FormatFloat(float64(*n), 'g', -1, 64) }

// Type implements pflag.Value: its help and errors are those of any number.
func (n *finite) Type() string { return "float64" }

// given returns the options that the caller set as a JSON object (nil if none), and the seed if it was given. It checks the
// options' ranges.
func (g *gameFlags) given() (options []byte, seed *uint64, err error) {
	if g.set.Changed("seed") {
		seed = &g.seed
	}
	fields := map[string]json.RawMessage{}
	for _, f := range g.fields {
		if !g.set.Changed(f.Name) {
			continue
		}
		text := g.set.Lookup(f.Name).Value.String()
		if f.Kind == reflect.String {
			quoted, err := json.Marshal(text)
			if err != nil {
				return nil, nil, err
			}
			text = string(quoted)
		}
		fields[f.Name] = json.RawMessage(text)
	}
	if len(fields) == 0 {
		return nil, seed, nil
	}
	if options, err = json.Marshal(fields); err != nil {
		return nil, nil, err // ecs formats each option from a value of its kind
	}
	if _, err := g.game.DecodeOptions(options); err != nil {
		return nil, nil, usageError{err}
	}
	return options, seed, nil
}
