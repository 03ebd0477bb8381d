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
		Short: "Reload changed scripts in all instances of a service, or in a shard, while they run",
		Long: `Reads the scripts from --scripts: SERVICE's whole folder, which replaces all scripts in force, or only the named modules.
Every instance compiles and tries them. Only if all succeed do the new functions replace the old ones; running handlers finish
with the code they began with. A script that does not compile, uses an undefined name or never ends changes nothing anywhere,
and the error says where the mistake is. Instances that start later with the replaced scripts run the new ones, too. If a
service has the same name as the shard, write shard:NAME.

In a shard the reload is a command in its log, so a replay runs the code that ran. To roll back, reload the previous source.`,
		Example: "  wind reload game --scripts ./scripts\n  wind reload game handlers_client/player.star --scripts ./scripts --dry-run\n" +
			"  wind reload main --scripts ./scripts",
	}
	f.add(c.Flags())
	c.Flags().StringVar(&from, "scripts", "", "folder of the game's scripts, with one folder per service type and one named shard (default: the one that this binary was built from)")
	c.Flags().BoolVar(&dry, "dry-run", false, "compile and try the scripts everywhere, but change nothing")
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
		return a.print(r, reloadLines(r, shard, o.Whole)...)
	})
	return c
}

// modules reads the scripts of a service type, or of shards, from a game's folder; names chooses some of them.
func (a *app) modules(from, folder string, names []string) ([]script.Module, error) {
	if from == "" {
		from = a.scriptsWith(folder)
	}
	if dir := a.scriptDir; from == "" && dir != "" {
		return nil, fmt.Errorf("reload: %s has no scripts: there is no folder %s in %s. Handlers in Go and in Python cannot be reloaded; --scripts names another folder", folder, folder, dir)
	}
	if from == "" {
		return nil, fmt.Errorf("reload: name the folder of the changed scripts with --scripts: this machine does not have the folder of %s that this binary was built from", folder)
	}
	path := filepath.Join(from, folder)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("reload: %s has no scripts: there is no folder %s in %s", folder, folder, from)
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

// scriptsWith returns a folder of scripts on this machine that contains folder: the selected game's, or else another game's;
// "" if no game has one.
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
	return script.Module{}, fmt.Errorf("reload: there is no module %q; the modules are %s", name, strings.Join(known, ", "))
}

func reloadLines(r node.Reloaded, shard, whole bool) []string {
	verb := "in force"
	if r.DryRun {
		verb = "would be in force"
	}
	if !whole { // what is in force has others, too
		verb = "reloaded"
		if r.DryRun {
			verb = "would be reloaded"
		}
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
		lines = append(lines, "they were already in force")
	}
	return lines
}
