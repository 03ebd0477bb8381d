package arena

import (
	"fmt"
	"maps"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/ecstest"
)

// TestAnArenaThatNeverEndsIsWhatItWas: the option Match costs an arena without it nothing, and its old logs replay.
func TestAnArenaThatNeverEndsIsWhatItWas(t *testing.T) {
	m := newMatch(t, Options{Monsters: 40, Size: 60, Respawn: 1, TickRate: TickRate}, 4)
	bots := []*Brain{NewBrain(1), NewBrain(2), NewBrain(3), NewBrain(4)}
	for range 300 {
		m.step(m.inputs(bots)...)
	}
	const before = 0xc8b4c1f2f6ffe8f3 // of the commit before the option
	if m.last.Checksum != before {
		t.Errorf("after 300 ticks the checksum is %#x, was %#x", m.last.Checksum, uint64(before))
	}
	if s := m.Schema(); len(s.Outgoing) > 0 || len(s.Resources) != 2 {
		t.Errorf("it has the resources %v and can send %v", s.Resources, s.Outgoing)
	}
}

func TestAMatchKeepsWindsPromises(t *testing.T) {
	ecstest.Run(t, Game, ecstest.Config{Options: Options{Monsters: 60, Size: 40, Respawn: 0.5, Match: 3600, TickRate: TickRate}})
}

// join returns the command with which a player joins.
func (m *match) join(session uint64, player string) ecs.Command {
	return m.from(session, ecs.Join{Identity: ecs.NewText64(player)})
}

// scored is what one player has done in a match.
type scored struct{ kills, deaths uint32 }

func (s *Standings) scored() map[string]scored {
	all := map[string]scored{}
	for i, p := range s.Players {
		if p.Len() > 0 {
			all[p.String()] = scored{s.Kills[i], s.Deaths[i]}
		}
	}
	return all
}

// result returns the result with which the last tick ended the room.
func (m *match) result() (players map[string]scored, ended bool) {
	m.t.Helper()
	end, ok := ecs.Result(m.last.Outbox)
	if !ok {
		return nil, false
	}
	r, err := ecs.UnpackValue[Result](end.Payload)
	if err != nil || end.Name != "arena.result" {
		m.t.Fatalf("%s: %v", end.Name, err)
	}
	return (*Standings)(&r).scored(), true
}

// TestAMatchEndsItsRoomOnTime: the clock starts when the first player joins, and the last tick's result names everyone
// who was there.
func TestAMatchEndsItsRoomOnTime(t *testing.T) {
	m := newMatch(t, Options{Monsters: 20, Size: 40, Respawn: 1, Match: 2.5, TickRate: TickRate}, 0)
	for range 100 {
		m.step() // nobody is there: it does not end
	}
	m.step(m.join(1, "ann"), m.join(2, "bob"))
	bots := []*Brain{NewBrain(1), NewBrain(2)}
	for tick := 1; ; tick++ {
		m.step(m.inputs(bots)...)
		players, ended := m.result()
		if !ended {
			if tick == 100 {
				t.Fatal("it does not end")
			}
			continue
		}
		if want := 75; tick != want {
			t.Errorf("the match took %d ticks, want %d", tick, want)
		}
		for session, name := range map[uint64]string{1: "ann", 2: "bob"} {
			p := get[Player](m, m.player(session))
			if s := players[name]; s != (scored{p.Kills, p.Deaths}) {
				t.Errorf("%s has %+v, and the result says %+v", name, p, s)
			}
		}
		if len(players) != 2 || players["ann"].kills+players["bob"].kills == 0 {
			t.Errorf("the result is %+v", players)
		}
		return
	}
}

// TestAMatchRemembersWhoLeft: a player who leaves keeps what was scored, and scores on after coming back.
func TestAMatchRemembersWhoLeft(t *testing.T) {
	m := newMatch(t, Options{Size: 60, Respawn: 1, Match: 3600, TickRate: TickRate}, 0)
	m.step(m.join(1, "ann"), m.join(2, "bob"))
	duel(m)
	for range TickRate {
		m.step()
	}
	m.step(m.from(1, ecs.Leave{}))
	m.step(m.from(2, ecs.Leave{}))
	m.step(m.join(3, "bob"), m.join(4, "ann"), m.join(5, "cid"))
	s := ecs.ResourceOf[Standings](m.World)
	want := map[string]scored{"ann": {kills: 1}, "bob": {deaths: 1}, "cid": {}}
	if got := s.scored(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestNobodyPlaysAMatchWithTwoBodies: a player may have several tickets.
func TestNobodyPlaysAMatchWithTwoBodies(t *testing.T) {
	m := newMatch(t, Options{Size: 60, Respawn: 1, Match: 3600, TickRate: TickRate}, 0)
	m.step(m.join(1, "ann"), m.join(2, "ann"), m.join(3, "bob"))
	m.step(m.join(4, "ann"))
	m.step(m.from(1, ecs.Leave{})) // has nothing to leave behind
	m.step()
	for session, plays := range map[uint64]bool{2: false, 3: true, 4: true} {
		if _, ok := ecs.Get[Player](m.World, m.player(session)); ok != plays {
			t.Errorf("session %d has a body: %v, want %v", session, ok, plays)
		}
	}
	if s := ecs.ResourceOf[Standings](m.World); len(s.scored()) != 2 {
		t.Errorf("the standings are %v", s.scored())
	}
}

func TestAMatchCountsTheFirstTen(t *testing.T) {
	m := newMatch(t, Options{Size: 60, Match: 1, TickRate: TickRate}, 0)
	var joins []ecs.Command
	for i := range uint64(MaxPlaces + 3) {
		joins = append(joins, m.join(i+1, fmt.Sprint("p", i+1)))
	}
	m.step(joins...)
	for range TickRate {
		m.step()
	}
	players, ended := m.result()
	if !ended || len(players) != MaxPlaces {
		t.Errorf("ended: %v, with %v", ended, players)
	}
}

// TestTheResultReadsWithoutTheGame: the log's readers know the result's fields from its schema.
func TestTheResultReadsWithoutTheGame(t *testing.T) {
	m := newMatch(t, Options{Size: 60, Match: 0.1, TickRate: TickRate}, 0)
	m.step(m.join(1, "ann"))
	for range 3 {
		m.step()
	}
	end, ok := ecs.Result(m.last.Outbox)
	if !ok {
		t.Fatal("it does not end")
	}
	text, err := m.Schema().Outgoing[0].UnpackJSON(end.Payload)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"players":["ann","","","","","","","","",""],"kills":[0,0,0,0,0,0,0,0,0,0],"deaths":[0,0,0,0,0,0,0,0,0,0]}`
	if string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
}
