package cmd

import (
	"fmt"
	"os"
	"strings"

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
// does one that names a place, or is for embedded servers, if the call names another.
func fromEnv(set *pflag.FlagSet) (err error) {
	named, elsewhere := namedPlaces(set), serversElsewhere(set)
	set.VisitAll(func(f *pflag.Flag) {
		value := os.Getenv(envName(f.Name))
		if err != nil || f.Changed || value == "" || f.Name == "help" || !named.joins(f.Name) || elsewhere(f.Name) {
			return
		}
		if cause := set.Set(f.Name, value); cause != nil {
			err = fmt.Errorf("%s (the environment variable for --%s)", wrongValue(envName(f.Name), f, value, causeOf(cause)), f.Name)
		}
	})
	return err
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
