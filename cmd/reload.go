package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/systems/script"
)

func (a *app) reload() *cobra.Command {
	f := &clusterFlags{}
	var from string
	var dry bool
	c := &cobra.Command{
		Use:   "reload SERVICE|SHARD [MODULE...]",
		Short: "Put changed scripts in force, in all instances of a service or in a shard, while they run",
		Long: `Reads the scripts from --scripts (SERVICE's whole folder, in place of all that is in force, or the modules named), lets
every instance compile and try them, and only when all of them could puts them in force: functions are swapped, running
handlers finish on the code they began with. A script that does not compile, names what does not exist or runs for ever
changes nothing anywhere, and the error says where it is. Instances that start later with the scripts that were replaced
run the new ones, too. shard:NAME means a shard whose name is also a service's.

In a shard the reload is a command in its log: a replay runs the code that ran. A rollback is a reload of the former
source.`,
		Example: "  wind reload game --scripts ./scripts\n  wind reload game handlers_client/player.star --scripts ./scripts --dry-run\n" +
			"  wind reload main --scripts ./scripts",
	}
	f.add(c.Flags())
	c.Flags().StringVar(&from, "scripts", "", "folder of the game's scripts, with one folder per service type, and shard, in it (default: the one this binary was built from)")
	c.Flags().BoolVar(&dry, "dry-run", false, "compile and try everywhere, and change nothing")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) (err error) {
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		target, shard := strings.CutPrefix(args[0], "shard:")
		folder := target
		if !shard {
			if shard, err = cluster.IsShard(ctx, target); err != nil {
				return err
			}
		}
		if shard {
			folder = node.ShardScripts
		}
		modules, err := a.modules(from, folder, args[1:])
		if err != nil {
			return err
		}
		o := node.ReloadOptions{Whole: len(args) == 1, DryRun: dry}
		var r node.Reloaded
		if shard {
			r, err = cluster.ReloadShard(ctx, target, modules, o)
		} else {
			r, err = cluster.Reload(ctx, target, modules, o)
		}
		if err != nil {
			return err
		}
		return a.print(r, reloadLines(r, shard)...)
	})
	return c
}

// modules reads the scripts of a service type, or of shards, from a game's folder; names chooses some of them.
func (a *app) modules(from, folder string, names []string) ([]script.Module, error) {
	if from == "" {
		from = a.scriptsWith(folder)
	}
	if from == "" {
		return nil, usagef("reload: say with --scripts where the changed scripts of %s are: they are not where this binary was built", folder)
	}
	path := filepath.Join(from, folder)
	if _, err := os.Stat(path); err != nil {
		return nil, usagef("reload: %s: there are no scripts: %v", path, err)
	}
	all, err := script.Read(os.DirFS(path))
	if err != nil || len(names) == 0 {
		return all, err
	}
	var some []script.Module
	for _, name := range names {
		m, err := moduleNamed(all, name)
		if err != nil {
			return nil, err
		}
		some = append(some, m)
	}
	return some, nil
}

// scriptsWith is the folder of scripts on this machine, of the game that is chosen or else of another, that has folder.
func (a *app) scriptsWith(folder string) string {
	for _, p := range append(games{a.program}, a.games...) {
		if info, err := os.Stat(filepath.Join(p.scriptDir, folder)); p.scriptDir != "" && err == nil && info.IsDir() {
			return p.scriptDir
		}
	}
	return ""
}

func moduleNamed(all []script.Module, name string) (script.Module, error) {
	var known []string
	for _, m := range all {
		if m.Name == name || strings.TrimSuffix(m.Name, ".star") == name {
			return m, nil
		}
		known = append(known, m.Name)
	}
	return script.Module{}, usagef("reload: there is no module %q; there are %s", name, strings.Join(known, ", "))
}

func reloadLines(r node.Reloaded, shard bool) []string {
	verb := "in force"
	if r.DryRun {
		verb = "would be in force"
	}
	lines := []string{fmt.Sprintf("%s %s in %s", plural(r.Modules, "module"), verb, strings.Join(r.Instances, ", "))}
	for _, part := range []struct {
		what  string
		names []string
	}{{"changed", r.Changed}, {"added", r.Added}, {"removed", r.Removed}} {
		if len(part.names) > 0 {
			lines = append(lines, part.what+": "+strings.Join(part.names, ", "))
		}
	}
	switch {
	case r.Tick > 0:
		lines = append(lines, fmt.Sprintf("committed in tick %d", r.Tick))
	case shard && !r.DryRun:
		lines = append(lines, "they were in force already")
	}
	return lines
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
