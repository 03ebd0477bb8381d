package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/persistence"
)

func (a *app) version() *cobra.Command {
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the build, the game and the record format",
		Long:    "Prints the build, the game and the format version. Genesis and epoch records hold the build, so that a replay can say which build wrote a log.",
		Example: "  wind version --json",
	}
	a.jsonFlag(c)
	c.RunE = a.verb(func(context.Context, []string) error {
		b := node.ThisBuild(a.game)
		return a.print(map[string]any{"build": b, "game": a.game.Name, "tick_rate": a.game.TickRate, "format": persistence.FormatVersion},
			fmt.Sprintf("wind %s (%s %s/%s %s)", b.ID, b.GoVersion, b.GOOS, b.GOARCH, b.GOAMD64),
			fmt.Sprintf("game %s, %s per second, record format %d", a.game.Name, plural(a.game.TickRate, "tick"), persistence.FormatVersion))
	})
	return c
}
