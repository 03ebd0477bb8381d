package cmd

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envPrefix is the prefix of the flags' environment variables, in a game's own binary too, so that one deployment runs any
// game.
const envPrefix = "WIND_"

// envName returns the name of a flag's environment variable.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnv sets flags that the call does not set from their environment variables. An empty variable counts as unset, and so
// does one that names a place, or is for embedded servers, if the call names another. It returns the flags that it set.
func fromEnv(set *pflag.FlagSet) (given []string, err error) {
	named, elsewhere := namedPlaces(set), serversElsewhere(set)
	set.VisitAll(func(f *pflag.Flag) {
		value := os.Getenv(envName(f.Name))
		if err != nil || f.Changed || value == "" || f.Name == "help" || !named.joins(f.Name) || elsewhere(f.Name) {
			return
		}
		cause := checkText(f, value)
		if cause == nil {
			cause = set.Set(f.Name, value)
		}
		if cause != nil {
			err = fmt.Errorf("%s (the environment variable for --%s)", wrongValue(envName(f.Name), f, value, causeOf(cause)), f.Name)
			return
		}
		given = append(given, f.Name)
	})
	return given, err
}

// inVariables writes the environment variables in place of the flags that they set: the caller of --shard who set WIND_SHARD
// would look for the flag in vain.
func inVariables(text string, flags []string) string {
	for _, name := range flags {
		text = regexp.MustCompile(`--`+regexp.QuoteMeta(name)+`([^a-z0-9-]|$)`).ReplaceAllString(text, envName(name)+"$1")
	}
	return text
}

// causeOf returns the error of a flag's Set, without pflag's wrapping.
func causeOf(err error) error {
	for {
		wrapped, ok := err.(interface{ Unwrap() error })
		if !ok || wrapped.Unwrap() == nil {
			return err
		}
		if _, ok := err.(*pflag.InvalidValueError); ok {
			return wrapped.Unwrap()
		}
		err = wrapped.Unwrap()
	}
}

// strayVariables describes variables in environ ("NAME=value") that look like a flag's and are none's: a slip that would
// otherwise change nothing in silence. It leaves out those that Kubernetes makes for a service called wind, and those of Wind's
// own tests.
func strayVariables(environ, flags []string) (strays []string) {
	for _, one := range environ {
		name, value, _ := strings.Cut(one, "=")
		slug, ours := strings.CutPrefix(name, envPrefix)
		if !ours || value == "" || ofTests.MatchString(name) || ofKubernetes.MatchString(one) {
			continue
		}
		slug = strings.ToLower(strings.ReplaceAll(slug, "_", "-"))
		if slices.ContainsFunc(flags, func(f string) bool { return envName(f) == name }) {
			continue
		}
		var near []string
		for _, f := range nearest(slug, flags) {
			near = append(near, envName(f))
		}
		strays = append(strays, fmt.Sprintf("the environment variable %s has no effect: no flag is called --%s%s", name, slug, didYouMean("", near)))
	}
	slices.Sort(strays)
	return strays
}

var (
	ofTests      = regexp.MustCompile(`^WIND_(LONG|MUTANT|STORES|PYTHON|LOOKERS|KILLS|WRITE|CROWD_\w+|BENCH_\w+|TEST_\w+)$`)
	ofKubernetes = regexp.MustCompile(`^WIND_(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT=\w+://|PORT_\d+_(TCP|UDP)(_\w+)?=)`)
)

// flagNames lists the flags of all verbs, and the options of all games in the binary: one environment may serve several calls.
func (a *app) flagNames(root *cobra.Command) (names []string) {
	add := func(f *pflag.Flag) { names = append(names, f.Name) }
	root.PersistentFlags().VisitAll(add)
	for _, c := range verbsIn(root) {
		c.Flags().VisitAll(add)
	}
	for _, p := range a.games {
		fields, _ := p.game.OptionFields() // choosing that game reports the error
		for _, f := range fields {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// verbsIn lists the verbs that do something.
func verbsIn(c *cobra.Command) (verbs []*cobra.Command) {
	for _, sub := range c.Commands() {
		switch {
		case sub.Name() == "help" || sub.Name() == "completion":
		case sub.HasSubCommands():
			verbs = append(verbs, verbsIn(sub)...)
		default:
			verbs = append(verbs, sub)
		}
	}
	return verbs
}
