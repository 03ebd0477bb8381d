package arena

import (
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/detmath"
	"github.com/ferris1/wind/systems/damage"
)

// MaxPlaces is how many players a match counts: the first who join. Others may play along.
const MaxPlaces = 10

// Match is the state of an arena that ends: see Options.Match.
type Match struct {
	Ends uint64 // its last tick; 0 until a player joins
}

// Standings are the players of a match in the order in which they joined. A player who leaves keeps the place, and
// goes on from there after another join.
type Standings struct {
	Players [MaxPlaces]ecs.Text64
	Kills   [MaxPlaces]uint32 // of monsters and players
	Deaths  [MaxPlaces]uint32
}

// Result ends the room of a match. A place whose player has no name is free.
type Result Standings

// place returns the index of the place of a player, who takes the first free one at first. It returns -1 if all are
// taken.
func (s *Standings) place(player ecs.Text64) int {
	for i := range s.Players {
		switch {
		case s.Players[i] == player:
			return i
		case s.Players[i].Len() == 0:
			s.Players[i] = player
			return i
		}
	}
	return -1
}

// registerMatch makes the arena end.
func registerMatch(w *ecs.World, o Options) {
	ecs.Resource[Match](w, "match", ecs.Replicated)
	ecs.Resource[Standings](w, "standings")
	ecs.Outgoing[Result](w, "arena.result")
	length := detmath.ToUint64(detmath.Ceil(o.Match * float64(o.TickRate)))
	ecs.System(w, "enroll", enroll(length))
	ecs.System(w, "tally", tally)
	ecs.System(w, "whistle", whistle)
}

// enroll returns the system that gives players their places. The first one starts the clock. Who joins again, with another
// ticket, plays on with a new body alone: nobody has two in a match.
func enroll(length uint64) func(*ecs.Tick, *ecs.Sessions, *ecs.Res[Match], *ecs.Res[Standings]) {
	return func(t *ecs.Tick, sessions *ecs.Sessions, match *ecs.Res[Match], standings *ecs.Res[Standings]) {
		for s := range sessions.Each {
			if s.Joined != t.Now() {
				continue
			}
			for other := range sessions.Each {
				if other.Identity == s.Identity && (other.Joined < s.Joined || other.Joined == s.Joined && other.ID < s.ID) {
					t.Despawn(other.View)
				}
			}
			standings.Get().place(ecs.NewText64(s.Identity))
			if m := match.Get(); m.Ends == 0 {
				m.Ends = t.Now() + length
			}
		}
	}
}

// tally adds this tick's deaths to the standings of those who are there.
func tally(_ *ecs.Tick, deaths *ecs.Events[damage.Death], players *ecs.Comp[Player], sessions *ecs.Sessions, standings *ecs.Res[Standings]) {
	count := func(e ecs.Entity, of *[MaxPlaces]uint32) {
		p := players.Get(e)
		if p == nil {
			return
		}
		if s, ok := sessions.Get(p.Session); ok {
			if i := standings.Get().place(ecs.NewText64(s.Identity)); i >= 0 {
				of[i]++
			}
		}
	}
	for _, d := range deaths.All() {
		count(d.Victim, &standings.Get().Deaths)
		count(d.Killer, &standings.Get().Kills)
	}
}

// whistle ends the match, and with it the room.
func whistle(t *ecs.Tick, match *ecs.Res[Match], standings *ecs.Res[Standings]) {
	if m := match.Get(); m.Ends > 0 && t.Now() >= m.Ends {
		t.End(Result(*standings.Get()))
	}
}
