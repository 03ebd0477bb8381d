package cmd

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// envPrefix is what the environment's variables for flags begin with, in a game's own binary too: the same deployment
// runs any game.
const envPrefix = "WIND_"

// envName is the variable that stands for a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnv gives flags that the call did not give the values of their variables. An empty variable counts as not set.
func fromEnv(set *pflag.FlagSet) (err error) {
	set.VisitAll(func(f *pflag.Flag) {
		value := os.Getenv(envName(f.Name))
		if err != nil || f.Changed || value == "" || f.Name == "help" {
			return
		}
		if cause := set.Set(f.Name, value); cause != nil {
			err = fmt.Errorf("%s (a variable of the environment, for --%s)", wrongValue(envName(f.Name), f, value, causeOf(cause)), f.Name)
		}
	})
	return err
}

// causeOf is what a flag's value said of what it was given.
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
