package arena

import (
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/projectile"
)

// Score counts events in the arena since its first tick. Each Player counts its own kills and deaths.
type Score struct {
	Shots    uint64     // triggers pulled
	Hits     uint64     // pellets that hit something
	Monsters uint64     // monsters killed by players
	Players  uint64     // deaths of players
	Leader   ecs.Entity // the player that first reached the most kills; zero before the first kill
	Kills    uint32     // the leader's
}

// count adds this tick's hits and deaths to the score.
func count(_ *ecs.Tick, hits *ecs.Events[projectile.Hit], deaths *ecs.Events[damage.Death], players *ecs.Comp[Player], score *ecs.Res[Score]) {
	s := score.Get()
	s.Hits += uint64(len(hits.All()))
	for _, d := range deaths.All() {
		killer := players.Get(d.Killer)
		switch victim := players.Get(d.Victim); {
		case victim != nil:
			victim.Deaths++
			s.Players++
		case killer != nil:
			s.Monsters++
		}
		if killer == nil {
			continue
		}
		if killer.Kills++; killer.Kills > s.Kills {
			s.Leader, s.Kills = d.Killer, killer.Kills
		}
	}
}
