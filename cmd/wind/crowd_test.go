package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// crowd is players that send requests steadily. One whose connection ends goes to the next gateway, as a client would.
type crowd struct {
	t       *testing.T
	addrs   []string
	names   string // of players, in front of their numbers
	every   time.Duration
	flying  int // how many requests of a player wait for their answers, at most
	request func(number int32) proto.Message
	ctx     context.Context
	cancel  context.CancelFunc
	group   sync.WaitGroup
	players []*player
}

// player is one of a crowd. What it was told is guarded by mu.
type player struct {
	name  string
	crowd *crowd
	door  int // index of its gateway

	mu       sync.Mutex
	door1    int       // of the first session
	outcomes []outcome // of the requests, by number - 1
	sessions int
	problems []string // with logins and roles
	steps    []step   // of connecting
	ends     []error  // why connections were refused and sessions ended
}

// step is how long a player waited on its way to a session.
type step struct {
	what string
	took time.Duration
}

// outcome is what a player was told of one request.
type outcome struct {
	session    int // of the player, from 1
	sent, told time.Time
	answer     []byte
	err        *rpc.Error
}

func (o outcome) took() time.Duration { return o.told.Sub(o.sent) }

// maxFlying is the bound of a crowd that sets none.
const maxFlying = 32

func newCrowd(t *testing.T, addrs []string, every time.Duration, request func(int32) proto.Message) *crowd {
	c := &crowd{t: t, addrs: addrs, names: "player", every: every, flying: maxFlying, request: request}
	c.ctx, c.cancel = context.WithCancel(t.Context())
	t.Cleanup(c.stop)
	return c
}

// counted are requests that the scripts of testdata note by their number.
func counted(number int32) proto.Message { return &speakpb.CreateRoleRequest{RoleId: number} }

// add lets another player play.
func (c *crowd) add() *player {
	p := &player{name: fmt.Sprintf("%s-%d", c.names, len(c.players)), crowd: c, door: len(c.players) % len(c.addrs)}
	p.door1 = p.door
	c.players = append(c.players, p)
	c.group.Go(p.run)
	return p
}

// stop ends the sessions once all requests are answered. It may be called again.
func (c *crowd) stop() {
	c.cancel()
	c.group.Wait()
}

// all waits until something holds for each of some players.
func (c *crowd) all(what string, players []*player, ok func(*player) bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var late *player
		for _, p := range players {
			p.mu.Lock()
			good := ok(p)
			p.mu.Unlock()
			if !good {
				late = p
				break
			}
		}
		if late == nil {
			return
		}
		if time.Now().After(end) {
			late.mu.Lock()
			defer late.mu.Unlock()
			c.t.Fatalf("%s never %s: %d requests, %d sessions, problems %q, the last outcome %+v", late.name, what, len(late.outcomes), late.sessions, late.problems, late.outcomes[max(0, len(late.outcomes)-1):])
		}
	}
}

// answered reports whether n requests had a good answer. The lock is held.
func (p *player) answered(n int) bool {
	for i := range p.outcomes {
		if o := &p.outcomes[i]; !o.told.IsZero() && o.err == nil {
			n--
		}
	}
	return n <= 0
}

// since is the first good answer to a request that was sent after a moment. The lock is held.
func (p *player) since(moment time.Time) (told time.Time, ok bool) {
	for i := range p.outcomes {
		if o := &p.outcomes[i]; o.sent.After(moment) && o.err == nil && !o.told.IsZero() && (!ok || o.told.Before(told)) {
			told, ok = o.told, true
		}
	}
	return told, ok
}

func (p *player) run() {
	pace := time.NewTicker(p.crowd.every)
	defer pace.Stop()
	for p.crowd.ctx.Err() == nil {
		if err := p.session(pace.C); err != nil && p.crowd.ctx.Err() == nil {
			p.problem("%s: %v", p.crowd.addrs[p.door], err)
		}
		p.door = (p.door + 1) % len(p.crowd.addrs)
		select {
		case <-pace.C:
		case <-p.crowd.ctx.Done():
		}
	}
}

func (p *player) problem(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.problems) < 20 {
		p.problems = append(p.problems, fmt.Sprintf(format, args...))
	}
}

// timed notes how long f takes.
func (p *player) timed(what string, f func() error) error {
	began := time.Now()
	err := f()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, step{what, time.Since(began)})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// ended notes why a session ended, or did not begin; nil: the player ended it.
func (p *player) ended(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.ends = append(p.ends, err)
	}
}

// session logs in, looks whether what it was told of is there, and sends until the session or the test is over.
func (p *player) session(pace <-chan time.Time) error {
	ctx, cancel := context.WithTimeout(p.crowd.ctx, 10*time.Second)
	defer cancel()
	var c *client.RPC
	err := p.timed("connection", func() (err error) {
		c, err = client.DialRPC(ctx, client.RPCConfig{Addr: p.crowd.addrs[p.door], Transport: client.TCP})
		return err
	})
	if err != nil {
		p.ended(err)
		return err
	}
	defer c.Close()
	defer func() { p.ended(c.Err()) }()
	err = p.timed("login", func() error {
		return c.Call(ctx, &speakpb.PlayerLoginRequest{PlayerId: p.name}, &speakpb.PlayerLoginResponse{})
	})
	if err != nil {
		return err
	}
	var role speakpb.RoleResponse
	if err := p.timed("role", func() error { return c.Call(ctx, &speakpb.RoleRequest{}, &role) }); err != nil {
		return err
	}
	if best := p.begin(); role.RoleId < best {
		p.problem("its role is %d, it was told of %d", role.RoleId, best)
	}
	var flying sync.WaitGroup
	for {
		select {
		case <-p.crowd.ctx.Done():
			flying.Wait() // for as long as the gateway takes, at most
			return nil
		case <-c.Done():
			return nil
		case <-pace:
			p.send(c, &flying)
		}
	}
}

// begin counts a session and returns the highest number that was answered.
func (p *player) begin() (best int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions++
	if _, ok := p.crowd.request(1).(*speakpb.CreateRoleRequest); !ok {
		return 0
	}
	for i := range p.outcomes {
		if o := &p.outcomes[i]; o.err == nil && !o.told.IsZero() {
			best = int32(i + 1)
		}
	}
	return best
}

func (p *player) send(c *client.RPC, flying *sync.WaitGroup) {
	p.mu.Lock()
	n, waiting := len(p.outcomes), 0
	for i := max(0, n-2*maxFlying); i < n; i++ {
		if p.outcomes[i].told.IsZero() {
			waiting++
		}
	}
	if waiting >= p.crowd.flying {
		p.mu.Unlock()
		return
	}
	p.outcomes = append(p.outcomes, outcome{session: p.sessions, sent: time.Now()})
	p.mu.Unlock()
	m := p.crowd.request(int32(n + 1))
	payload, err := proto.Marshal(m)
	if err != nil {
		panic(err) // the test's own message
	}
	flying.Add(1)
	// Longer than a dead instance's lease: the gateway has to tell of it.
	err = c.Go(wirepb.IDOf(m), payload, 30*time.Second, func(_ uint32, answer []byte, err error) {
		p.told(n, answer, err)
		flying.Done()
	})
	if err != nil {
		p.told(n, nil, err)
		flying.Done()
	}
}

func (p *player) told(n int, answer []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := &p.outcomes[n]
	o.told, o.answer = time.Now(), append([]byte(nil), answer...)
	if err != nil && !errors.As(err, &o.err) {
		o.err = &rpc.Error{Code: rpc.Unknown, Text: err.Error()}
	}
}

// balance holds what each player was told against what the store says was executed: what was answered once, what failed
// with Maybe at most once, what failed without it never.
func (s *services) balance(c *crowd) (ok, maybe, failed int) {
	s.t.Helper()
	for _, p := range c.players {
		var ran []int
		s.kept("ran/"+p.name, &ran)
		times := map[int]int{}
		for _, n := range ran {
			times[n]++
		}
		for i, o := range p.outcomes {
			n := times[i+1]
			delete(times, i+1)
			good := false
			switch {
			case o.told.IsZero():
				s.t.Errorf("%s, request %d: nothing was told", p.name, i+1)
				continue
			case o.err == nil:
				ok, good = ok+1, n == 1
			case o.err.Maybe:
				maybe, good = maybe+1, n <= 1
			default:
				failed, good = failed+1, n == 0
			}
			if !good {
				s.t.Errorf("%s, request %d was executed %d times; the player was told: %v", p.name, i+1, n, o.err)
			}
		}
		for n := range times {
			s.t.Errorf("%s: request %d was executed and never sent", p.name, n)
		}
	}
	return ok, maybe, failed
}

// unhurt fails the test for each request, sent from a moment on, that failed, and for each session that was lost.
func (c *crowd) unhurt(why string, players []*player, from time.Time) {
	c.t.Helper()
	for _, p := range players {
		p.mu.Lock()
		for i, o := range p.outcomes {
			if o.err != nil && o.sent.After(from) {
				c.t.Errorf("%s: %s, request %d, failed after %v: %v", why, p.name, i+1, o.told.Sub(o.sent), o.err)
				break // one of a player will do
			}
		}
		if len(p.problems) > 0 {
			c.t.Errorf("%s: %s has problems: %q", why, p.name, p.problems)
		}
		p.mu.Unlock()
	}
}
