package arena

import (
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/projectile"
)

// Score is the arena's account since its first tick. Players have their own kills and deaths.
type Score struct {
	Shots    uint64     // triggers pulled
	Hits     uint64     // pellets that hit something
	Monsters uint64     // monsters killed by players
	Players  uint64     // players that died
	Leader   ecs.Entity // who has, or was the first to have, the most kills; zero before the first kill
	Kills    uint32     // the leader's
}

// count books this tick's hits and deaths.
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
