package arena

import (
	"iter"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/replication"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/respawn"
)

// match is a world whose players the tests drive by hand.
type match struct {
	*ecs.World
	t    testing.TB
	seq  uint64
	last ecs.Output
}

func newMatch(t testing.TB, o Options, players int) *match {
	t.Helper()
	options, err := Game.EncodeOptions(o)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ecs.New(Game, ecs.Config{Seed: 1, Options: options})
	if err != nil {
		t.Fatal(err)
	}
	m := &match{World: w, t: t}
	var joins []ecs.Command
	for s := range uint64(players) {
		joins = append(joins, m.from(s+1, ecs.Join{Identity: ecs.NewText64("anna")}))
	}
	m.step(joins...)
	return m
}

// from returns a command of a session; C must be registered.
func (m *match) from(session uint64, v any) ecs.Command {
	m.seq++
	src := ecs.Source{Kind: ecs.SourceClient, ID: session}
	switch v := v.(type) {
	case ecs.Join:
		return ecs.NewCommand(m.World, src, m.seq, v)
	case ecs.Leave:
		return ecs.NewCommand(m.World, src, m.seq, v)
	case Input:
		return ecs.NewCommand(m.World, src, m.seq, v)
	case Choose:
		return ecs.NewCommand(m.World, src, m.seq, v)
	}
	m.t.Fatalf("%T is not a command", v)
	return ecs.Command{}
}

// step runs a tick, in which only rejected commands may fail.
func (m *match) step(cmds ...ecs.Command) {
	m.t.Helper()
	m.last = m.Step(ecs.Frame{Tick: m.Tick() + 1, Commands: cmds})
	for _, f := range m.last.Failures {
		if !f.Rejected {
			m.t.Fatalf("tick %d: %+v", m.Tick(), f)
		}
	}
}

// player returns the entity of a session.
func (m *match) player(session uint64) ecs.Entity {
	s, ok := m.Session(session)
	if !ok {
		m.t.Fatalf("no session %d", session)
	}
	return s.View
}

func get[T any](m *match, e ecs.Entity) T {
	m.t.Helper()
	v, ok := ecs.Get[T](m.World, e)
	if !ok {
		m.t.Fatalf("tick %d: entity %v has no %T", m.Tick(), e, v)
	}
	return v
}

func toward(a, b motion.Position) Angle { return angleOf(b.X-a.X, b.Y-a.Y) }

// inputs asks the brains what the players of sessions 1… do next. They see everyone.
func (m *match) inputs(brains []*Brain) (cmds []ecs.Command) {
	for i, b := range brains {
		session := uint64(i + 1)
		var enemies []Enemy
		for e, p := range m.standing() {
			if e != m.player(session) {
				enemies = append(enemies, Enemy{X: p.X, Y: p.Y})
			}
		}
		p := get[motion.Position](m, m.player(session))
		cmds = append(cmds, m.from(session, b.Next(p.X, p.Y, enemies)))
	}
	return cmds
}

// standing returns everyone with health left, by table and row.
func (m *match) standing() iter.Seq2[ecs.Entity, motion.Position] {
	return func(yield func(ecs.Entity, motion.Position) bool) {
		for _, t := range m.Tables() {
			for _, e := range t.Entities() {
				h, ok := ecs.Get[damage.Health](m.World, e)
				p, _ := ecs.Get[motion.Position](m.World, e)
				if ok && h.Points > 0 && !yield(e, p) {
					return
				}
			}
		}
	}
}

// monsters returns how many monsters are alive.
func (m *match) monsters() (n int) {
	for e := range m.standing() {
		if _, ok := ecs.Get[Monster](m.World, e); ok {
			n++
		}
	}
	return n
}

func TestPlayersWalkWhereTheyWantAndNoFaster(t *testing.T) {
	m := newMatch(t, Options{Size: 200, TickRate: TickRate}, 1)
	from := get[motion.Position](m, m.player(1))
	for range 8 {
		m.step(m.from(1, Input{MoveX: 100, Aim: 1234}))
	}
	to := get[motion.Position](m, m.player(1))
	if dx := to.X - from.X; dx < 8*playerSpeed-1e-9 || dx > 8*playerSpeed+1e-9 || to.Y != from.Y {
		t.Errorf("after 8 ticks to the right a player went from %v to %v", from, to)
	}
	if p, f := get[Player](m, m.player(1)), get[Facing](m, m.player(1)); f.Aim != 1234 || p.Name.String() != "anna" {
		t.Errorf("player is %+v and looks to %d", p, f.Aim)
	}
	m.step(m.from(1, Input{MoveX: 100, MoveY: -100}))
	v := get[motion.Velocity](m, m.player(1))
	if s := v.X*v.X + v.Y*v.Y; s > playerSpeed*playerSpeed*1.0001 || s < playerSpeed*playerSpeed*0.999 {
		t.Errorf("the diagonal is walked at %v", v)
	}
	for range 2000 {
		m.step(m.from(1, Input{MoveX: 100, MoveY: -100}))
	}
	if p := get[motion.Position](m, m.player(1)); p.X != 100 || p.Y != -100 {
		t.Errorf("a player walks through the wall to %v", p)
	}
}

func TestInputOutOfRangeIsRefused(t *testing.T) {
	m := newMatch(t, Options{Size: 200, TickRate: TickRate}, 1)
	for _, v := range []any{Input{MoveX: 101}, Input{MoveY: -101}, Choose{Weapon: weapons}} {
		c := m.from(1, v)
		if err := m.Validate(&c); err == nil {
			t.Errorf("%+v was accepted", v)
		}
	}
	for _, v := range []any{Input{MoveX: -100, MoveY: 100, Aim: 65535, Fire: true}, Choose{Weapon: Cannon}} {
		c := m.from(1, v)
		if err := m.Validate(&c); err != nil {
			t.Errorf("%+v was refused: %v", v, err)
		}
	}
}

// duel makes the first of two players shoot at the second until someone is down. It returns how many ticks it took.
func duel(m *match) (ticks int) {
	for range 2000 {
		a, b := get[motion.Position](m, m.player(1)), get[motion.Position](m, m.player(2))
		i := Input{Aim: toward(a, b), Fire: true}
		if dx, dy := b.X-a.X, b.Y-a.Y; dx*dx+dy*dy > 20*20 { // come nearer
			x, y := i.Aim.Vector()
			i.MoveX, i.MoveY = int8(x*100), int8(y*100)
		}
		ticks++
		m.step(m.from(1, i), m.from(2, Input{}))
		if _, down := ecs.Get[respawn.Down](m.World, m.player(2)); down {
			return ticks
		}
	}
	m.t.Fatal("nobody dies in 2000 ticks")
	return 0
}

func TestAShotHitsAndTheScoreCounts(t *testing.T) {
	m := newMatch(t, Options{Size: 60, Respawn: 1, TickRate: TickRate}, 2)
	duel(m)
	shooter, dead := get[Player](m, m.player(1)), get[Player](m, m.player(2))
	score := ecs.ResourceOf[Score](m.World)
	if shooter.Kills != 1 || shooter.Deaths != 0 || dead.Kills != 0 || dead.Deaths != 1 {
		t.Errorf("shooter %+v, victim %+v", shooter, dead)
	}
	if want := int32(playerHealth / Rifle.spec().points); score.Players != 1 || score.Monsters != 0 || int32(score.Hits) <= want || score.Shots < score.Hits || score.Leader != m.player(1) || score.Kills != 1 {
		t.Errorf("score is %+v", score)
	}
	if h := get[damage.Health](m, m.player(2)); h.Points != 0 {
		t.Errorf("the victim has %d points", h.Points)
	}
	told := map[string]int{}
	for _, e := range m.last.Events {
		told[e.Name] = e.Count
	}
	if told["hit"] != 1 || told["death"] != 1 {
		t.Errorf("the last tick tells %v", told)
	}
}

func TestADeadPlayerRespawnsAndCanDoNothingBefore(t *testing.T) {
	m := newMatch(t, Options{Size: 60, Respawn: 1, TickRate: TickRate}, 2)
	duel(m)
	died := get[motion.Position](m, m.player(2))
	shots, aim := ecs.ResourceOf[Score](m.World).Shots, get[Facing](m, m.player(2)).Aim
	for tick := range TickRate {
		if _, down := ecs.Get[respawn.Down](m.World, m.player(2)); !down {
			t.Fatalf("back after %d ticks, want %d", tick, TickRate)
		}
		m.step(m.from(2, Input{MoveX: 100, Aim: 4321, Fire: true}), m.from(2, Choose{Weapon: Cannon}))
		if len(m.last.Replies) != 1 || !m.last.Replies[0].Rejected || m.last.Replies[0].Reason != "you are dead" {
			t.Fatalf("a dead player chooses a weapon: %+v", m.last.Replies)
		}
		if p := get[motion.Position](m, m.player(2)); p != died && tick < TickRate-1 || get[Facing](m, m.player(2)).Aim != aim {
			t.Fatalf("a dead player walks from %v to %v, or looks around", died, p)
		}
	}
	if _, down := ecs.Get[respawn.Down](m.World, m.player(2)); down {
		t.Errorf("not back after %d ticks", TickRate)
	}
	if got := ecs.ResourceOf[Score](m.World).Shots; got != shots {
		t.Errorf("the dead shoot: %d shots", got-shots)
	}
	if h, p := get[damage.Health](m, m.player(2)), get[motion.Position](m, m.player(2)); h != damage.Full(playerHealth) || p == died {
		t.Errorf("back with %+v at %v", h, p)
	}
	m.step(m.from(2, Choose{Weapon: Cannon}))
	if g := get[Gun](m, m.player(2)); g.Weapon != Cannon || m.last.Replies[0].Rejected {
		t.Errorf("the living one has %+v, %+v", g, m.last.Replies)
	}
}

func TestWeaponsCoolDownAndFirePellets(t *testing.T) {
	for weapon := range weapons {
		m := newMatch(t, Options{Size: 400, TickRate: TickRate}, 1)
		m.step(m.from(1, Choose{Weapon: weapon}))
		spec := weapon.spec()
		n := int(spec.cooldown)*2 + 1
		most := 0
		for range n {
			m.step(m.from(1, Input{Fire: true}))
			most = max(most, m.Len()-1)
		}
		if got := ecs.ResourceOf[Score](m.World).Shots; got != 3 {
			t.Errorf("weapon %d shoots %d times in %d ticks, want 3", weapon, got, n)
		}
		if want := int(spec.pellets); most < want || most%want != 0 {
			t.Errorf("weapon %d has %d pellets in flight, want a multiple of %d", weapon, most, want)
		}
		for range spec.ticks + 2 {
			m.step(m.from(1, Input{}))
		}
		if m.Len() != 1 {
			t.Errorf("weapon %d: %d pellets fly forever", weapon, m.Len()-1)
		}
	}
}

func TestMonstersChaseAndBite(t *testing.T) {
	m := newMatch(t, Options{Size: 20, Monsters: 3, Respawn: 600, TickRate: TickRate}, 1)
	wounded := 0 // in tick
	for tick := range 600 {
		m.step(m.from(1, Input{}))
		points := get[damage.Health](m, m.player(1)).Points
		if points < playerHealth && wounded == 0 {
			wounded = tick
		}
		if points == 0 {
			rounds := (playerHealth+bitePoints-1)/bitePoints/3 - 1 // rounds of three bites after the first
			if p := get[Player](m, m.player(1)); p.Deaths != 1 || tick-wounded < rounds*biteTicks {
				t.Errorf("%d ticks after the first bite the player is %+v", tick-wounded, p)
			}
			if s := ecs.ResourceOf[Score](m.World); s.Players != 1 || s.Leader != (ecs.Entity{}) {
				t.Errorf("score is %+v", s)
			}
			return
		}
	}
	t.Error("three monsters in a small arena kill nobody in 20 seconds")
}

func TestTheArenaKeepsItsMonsters(t *testing.T) {
	m := newMatch(t, Options{Size: 60, Monsters: 40, Respawn: 1, TickRate: TickRate}, 4)
	bots := make([]*Brain, 4)
	for i := range bots {
		bots[i] = NewBrain(uint64(i))
	}
	for range 900 {
		m.step(m.inputs(bots)...)
	}
	if s := ecs.ResourceOf[Score](m.World); s.Monsters < 5 || s.Leader.IsZero() {
		t.Errorf("in 30 seconds the bots score %+v", s)
	}
	if m.step(); m.monsters() < 36 || m.monsters() > 40 {
		t.Errorf("%d monsters live, want about 40", m.monsters())
	}
}

func TestLeavingTakesThePlayerOut(t *testing.T) {
	m := newMatch(t, Options{Size: 60, TickRate: TickRate}, 2)
	gone := m.player(1)
	m.step(m.from(1, ecs.Leave{}))
	if _, ok := ecs.Get[Player](m.World, gone); ok || m.Len() != 1 {
		t.Errorf("the player of a session that left is still there, %d entities", m.Len())
	}
}

func TestClientsCanBeShownTheArena(t *testing.T) {
	s, err := ecs.SchemaOf(Game, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replication.New(s, replication.Config{}); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{"position": true, "health": true, "shot": true, "down": true, "player": true, "facing": true, "gun": true, "monster": true}
	for _, c := range s.Components {
		if c.Replicated != shown[c.Name] {
			t.Errorf("component %s is replicated: %v", c.Name, c.Replicated)
		}
	}
}
