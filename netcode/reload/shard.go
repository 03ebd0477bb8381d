package reload

import (
	"encoding/json"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Shard is a reload of a shard's scripts. It needs no protocol of its own: it becomes commands in the shard's log, so a
// replay runs the same code.
type Shard struct {
	Modules []script.Module // as for script.Set.Replace: a module without a source is removed
	Whole   bool            // remove other modules in force
	DryRun  bool            // try the modules but change nothing
}

// ShardAnswer is the answer of a shard's owner.
type ShardAnswer struct {
	Tick   uint64        `json:"tick"` // the tick that put them in force; 0: nothing changed
	Report script.Report `json:"report"`
}

// shardJSON is the JSON form of a Shard in the operation's body.
type shardJSON struct {
	Modules []Module `json:"modules"`
	Whole   bool     `json:"whole"`
	DryRun  bool     `json:"dry_run"`
}

// Body encodes the reload as the body of a shard's operation "reload".
func (s Shard) Body() ([]byte, error) {
	return json.Marshal(shardJSON{Pack(s.Modules, true), s.Whole, s.DryRun})
}

// ParseShard is the inverse of Body.
func ParseShard(body []byte) (Shard, error) {
	var p shardJSON
	if err := json.Unmarshal(body, &p); err != nil {
		return Shard{}, rpc.Errorf(rpc.InvalidArgument, "the body is not a reload in JSON: %v", err)
	}
	modules, err := Unpack(p.Modules)
	return Shard{modules, p.Whole, p.DryRun}, err
}

// Commands tries the reload on a world without changing it, and makes its commands. A dry run and scripts
// that are already in force make none. next numbers the commands of an operator.
func (s Shard) Commands(w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) (commands []ecs.Command, report script.Report, err error) {
	modules := s.Modules
	if s.Whole {
		status, err := script.InForce(w)
		if err != nil {
			return nil, report, invalid(err)
		}
		modules = InPlaceOf(status.Modules, modules)
	}
	if report, err = script.DryRun(w, modules); err != nil || s.DryRun {
		return nil, report, invalid(err)
	}
	source, seq := next(ecs.SourceOperator)
	commands, err = script.Commands(w, source, seq, modules, script.DefaultBudget)
	for i := 1; i < len(commands); i++ {
		_, commands[i].Seq = next(ecs.SourceOperator)
	}
	return commands, report, invalid(err)
}

func invalid(err error) error {
	if err == nil {
		return nil
	}
	return rpc.Errorf(rpc.InvalidArgument, "%v", err)
}
