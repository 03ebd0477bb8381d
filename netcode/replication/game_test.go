package replication

import (
	"github.com/ferris1/wind/ecs"
)

// The components of the test's game, one for each encoding of values.
type (
	position struct {
		X, Y float64 `wind:"q=0.01,range=-500..500"` // metres
	}
	velocity struct { // not replicated
		X, Y float64 // metres per tick
	}
	health struct {
		Now, Max int16
		Armour   float32 `wind:"q=0.5,range=0..100"`
		Dead     bool
	}
	title struct {
		Name ecs.Text32
	}
	bag struct {
		Coins  uint64
		Debt   int64
		Weight float64
		Slots  [11]uint32
		Owner  ecs.Entity
		Angle  float32
		Hidden uint64 `wind:"-"`
		Marks  [3]bool
	}
	frozen struct{} // a tag that clients see
	secret struct { // not replicated
		Plan uint64
	}
	scores struct {
		Kills  [4]int32
		Best   ecs.Entity
		Motto  ecs.Text16
		Clock  float64 `wind:"q=0.1,range=0..3600"`
		Hidden uint32  `wind:"-"`
	}
	ledger struct{ Secret uint64 } // a resource that clients do not see
)

// stir says how lively the world is. It is a resource, so that a command can calm the world between ticks.
type stir struct {
	Live  bool
	Crowd int32 // minimum number of entities
}

// mood is the command that sets stir.
type mood struct {
	Live  bool
	Crowd int32
}

const worldMetres = 400 // from the middle to each side

type mover struct {
	E   ecs.Entity
	Pos *position
	Vel *velocity
}

type ghostly struct {
	E   ecs.Entity
	Sec *secret
	_   ecs.Without[position]
}

// testGame moves, changes, spawns, despawns and re-equips entities at random.
var testGame = ecs.Game{Name: "stirred", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Component[velocity](w, "velocity")
	ecs.Component[position](w, "position", ecs.Spatial)
	ecs.Component[secret](w, "secret")
	ecs.Component[health](w, "health", ecs.Replicated)
	ecs.Component[title](w, "title", ecs.Replicated)
	ecs.Component[bag](w, "bag", ecs.Replicated)
	ecs.Component[frozen](w, "frozen", ecs.Replicated)
	ecs.Resource[ledger](w, "ledger")
	ecs.Resource[scores](w, "scores", ecs.Replicated)
	ecs.Resource[stir](w, "stir")
	ecs.Handle[mood](w, "mood", func(t *ecs.Tick, c *ecs.Cmd[mood], s *ecs.Res[stir]) {
		*s.Get() = stir(c.Value)
	})
	ecs.System(w, "move", moveTest)
	ecs.System(w, "change", changeTest)
	ecs.System(w, "people", peopleTest)
}}

func moveTest(t *ecs.Tick, s *ecs.Res[stir], q *ecs.Query[mover]) {
	if !s.Get().Live {
		return
	}
	for m := range q.Each {
		r := t.Rand(m.E)
		switch {
		case r.IntN(200) == 0: // teleports now and then
			m.Pos.X, m.Pos.Y = r.Range(-worldMetres, worldMetres), r.Range(-worldMetres, worldMetres)
		case r.IntN(3) > 0:
			m.Pos.X += m.Vel.X
			m.Pos.Y += m.Vel.Y
		}
		if m.Pos.X < -worldMetres || m.Pos.X > worldMetres {
			m.Vel.X = -m.Vel.X
		}
		if m.Pos.Y < -worldMetres || m.Pos.Y > worldMetres {
			m.Vel.Y = -m.Vel.Y
		}
	}
}

func changeTest(t *ecs.Tick, s *ecs.Res[stir], q *ecs.Query[mover], hp *ecs.Comp[health], bags *ecs.Comp[bag], ice *ecs.Comp[frozen], names *ecs.Comp[title], sc *ecs.Res[scores]) {
	if !s.Get().Live {
		return
	}
	for m := range q.Each {
		r := t.Rand(m.E)
		if h := hp.Get(m.E); h != nil && r.IntN(10) == 0 {
			h.Now, h.Armour, h.Dead = int16(r.IntN(1000)-500), float32(r.Range(-10, 120)), r.Bool()
		}
		if b := bags.Get(m.E); b != nil && r.IntN(10) == 0 {
			changeBag(b, &r, m.E)
		}
		switch r.IntN(120) {
		case 0:
			ice.Set(m.E, frozen{})
		case 1:
			ice.Remove(m.E)
		case 2:
			names.Set(m.E, title{ecs.NewText32(words[r.IntN(len(words))])})
		case 3:
			names.Remove(m.E)
		case 4:
			bags.Set(m.E, bag{Coins: r.Uint64()})
		}
	}
	r := t.Rand(ecs.Entity{})
	if r.IntN(4) == 0 {
		g := sc.Get()
		g.Kills[r.IntN(4)]++
		g.Clock += 0.1
		g.Hidden++
		g.Motto = ecs.NewText16(words[r.IntN(len(words))])
	}
}

var words = []string{"", "a", "Ünder the säa", "wind", "a text of thirty-two bytes, full"}

func changeBag(b *bag, r *ecs.Rand, e ecs.Entity) {
	switch r.IntN(8) {
	case 0:
		b.Coins += uint64(r.IntN(1000))
	case 1:
		b.Debt = int64(r.Uint64())
	case 2:
		b.Weight = r.Float64()
	case 3:
		b.Slots[r.IntN(len(b.Slots))] = uint32(r.Uint64())
	case 4:
		b.Owner = e
	case 5:
		b.Angle = float32(r.Float64())
	case 6:
		b.Hidden++
	case 7:
		b.Marks[r.IntN(3)] = r.Bool()
	}
}

type person struct {
	Pos position
	Vel velocity
	Hp  health
	Sec secret
}
type rich struct {
	Pos  position
	Vel  velocity
	Bag  bag
	Name title
}
type (
	ghost  struct{ Sec secret }   // nothing replicated
	placed struct{ Vel velocity } // nothing replicated
	clerk  struct{ Name title }   // replicated, but without a position
)

func peopleTest(t *ecs.Tick, s *ecs.Res[stir], q *ecs.Query[mover], people *ecs.Spawner[person], riches *ecs.Spawner[rich], ghosts *ecs.Spawner[ghost], blanks *ecs.Spawner[placed], clerks *ecs.Spawner[clerk], hidden *ecs.Query[ghostly]) {
	st := s.Get()
	r := t.Rand(ecs.Entity{})
	for n := q.Count(); n < int(st.Crowd); n++ {
		at := position{r.Range(-worldMetres, worldMetres), r.Range(-worldMetres, worldMetres)}
		v := velocity{r.Range(-2, 2), r.Range(-2, 2)}
		if r.IntN(3) == 0 {
			riches.New(rich{Pos: at, Vel: v, Bag: bag{Coins: r.Uint64()}, Name: title{ecs.NewText32(words[r.IntN(len(words))])}})
		} else {
			people.New(person{Pos: at, Vel: v, Hp: health{Now: 100, Max: 100}, Sec: secret{r.Uint64()}})
		}
		switch r.IntN(30) {
		case 0:
			ghosts.New(ghost{})
		case 1:
			blanks.New(placed{})
		case 2:
			clerks.New(clerk{title{ecs.NewText32("clerk")}})
		}
	}
	if !st.Live {
		return
	}
	for m := range q.Each {
		if r := t.Rand(m.E); r.IntN(300) == 0 {
			t.Despawn(m.E)
		}
	}
}
