package script

import "github.com/ferris1/wind/ecs"

// Unchecked makes the commands of a reload without a dry run, as a defective host would. spoil may change the commit.
func Unchecked(w *ecs.World, source ecs.Source, seq uint64, modules []Module, spoil func(reload *uint64, sha *[32]uint8)) []ecs.Command {
	status, err := InForce(w)
	if err != nil {
		panic(err)
	}
	merged, err := merge(status.Modules, modules)
	if err != nil {
		panic(err)
	}
	c := commit{Reload: 1 + status.Generation*1000 + seq, SHA: sum(merged), Budget: DefaultBudget}
	var commands []ecs.Command
	for _, m := range modules {
		for _, p := range split(c.Reload, m) {
			commands = append(commands, ecs.NewCommand(w, source, seq+uint64(len(commands)), p))
		}
	}
	if spoil != nil {
		spoil(&c.Reload, &c.SHA)
	}
	return append(commands, ecs.NewCommand(w, source, seq+uint64(len(commands)), c))
}
