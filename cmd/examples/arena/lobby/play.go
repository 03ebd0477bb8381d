// Package lobby plays the arena as a person's client would: it logs in at a gateway, queues for a match, enters the
// match's room with its ticket, plays until the match ends, and queues again. If it loses the room, it asks the lobby for
// a way back.
package lobby

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/cmd/examples/arena/lobbypb"
	"github.com/ferris1/wind/cmd/fleet"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Size is how many players a bot wants in its match.
const Size = 4

const (
	askEvery   = time.Second     // while it waits for a match
	askTimeout = 4 * time.Second // for an answer of the lobby
	enterIn    = 8 * time.Second
	lookEvery  = 250 * time.Millisecond
	lostAfter  = 8 * time.Second // without an update: the client has not found the room at another node
	firstPause = 100 * time.Millisecond
	mostPause  = time.Second
)

// player is one bot.
type player struct {
	fleet.Seat
	gateway *client.RPC // nil: not connected
	tries   int
	tickets chan *lobbypb.Ticket // that were pushed

	room  *client.Client // nil: in no room
	match string         // id of the room of the match that goes on; "": none
	last  string         // id of the last match's room
	token client.ResumeToken
}

// Play plays one match after another until ctx ends.
func Play(ctx context.Context, s fleet.Seat) {
	p := &player{Seat: s, tickets: make(chan *lobbypb.Ticket, 4)}
	p.Account.Wait()
	for pause := firstPause; ctx.Err() == nil; {
		err := p.connect(ctx)
		if err == nil {
			pause = firstPause
			err = p.once(ctx)
		}
		if err != nil {
			p.Logger.Debug("lobby: again", "player", p.Player, "after", err)
			p.hangUp()
			sleep(ctx, pause)
			pause = min(2*pause, mostPause)
		}
	}
	if p.room != nil {
		_ = p.room.Close() // leaves the room
	}
	p.Account.Leave()
	p.hangUp()
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// connect logs in at a gateway, unless the player is connected.
func (p *player) connect(ctx context.Context) error {
	if p.gateway != nil {
		return nil
	}
	address := p.Gateways[p.tries%len(p.Gateways)]
	p.tries++
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	g, err := client.DialRPC(ctx, client.RPCConfig{Addr: address, Transport: p.Transport, TLS: p.TLS, DialUDP: p.DialUDP, OnPush: p.pushed})
	if err != nil {
		return err
	}
	p.gateway = g
	return g.Call(ctx, &lobbypb.LobbyLoginRequest{PlayerId: p.Player}, &lobbypb.LobbyLoginResponse{})
}

func (p *player) hangUp() {
	if p.gateway == nil {
		return
	}
	var bye *client.ByeError
	if err := p.gateway.Err(); err != nil && !errors.As(err, &bye) {
		p.Account.Lose()
	}
	_ = p.gateway.Close() // it is over either way
	p.gateway = nil
}

// pushed takes what the lobby pushes. It runs on the connection's goroutine.
func (p *player) pushed(id uint32, payload []byte) {
	switch id {
	case wirepb.IDOf(&lobbypb.Ticket{}):
		t := &lobbypb.Ticket{}
		if proto.Unmarshal(payload, t) == nil {
			select {
			case p.tickets <- t:
			default: // the player asks anyway
			}
		}
	case wirepb.IDOf(&lobbypb.MatchResult{}):
		r := &lobbypb.MatchResult{}
		if proto.Unmarshal(payload, r) == nil {
			p.Account.Count(r.Room)
		}
	}
}

// once gets the player into a room and plays until it has ended or is lost.
func (p *player) once(ctx context.Context) error {
	t, err := p.ticket(ctx)
	if err != nil {
		return err
	}
	if err := p.enter(ctx, t); err != nil {
		p.Logger.Debug("lobby: no way into the room", "player", p.Player, "room", t.Room, "error", err)
		sleep(ctx, askEvery/2)
		return nil
	}
	p.play(ctx)
	return nil
}

// ticket asks the lobby until it has a ticket.
func (p *player) ticket(ctx context.Context) (*lobbypb.Ticket, error) {
	for {
		var a lobbypb.QueueResponse
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		err := p.gateway.Call(asking, &lobbypb.QueueRequest{Size: Size}, &a)
		cancel()
		switch {
		case err != nil:
			return nil, err
		case a.Ticket != nil:
			return a.Ticket, nil
		case p.match == "" || a.Room != p.match: // the match that it had lost is over
			p.match = ""
			p.Account.Wait()
		}
		select {
		case t := <-p.tickets:
			if t.Room != p.last { // an older ticket
				return t, nil
			}
		case <-p.gateway.Done():
			return nil, p.gateway.Err()
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(askEvery):
		}
	}
}

// enter enters the room of a ticket.
func (p *player) enter(ctx context.Context, t *lobbypb.Ticket) error {
	back := t.Room == p.match
	if !back {
		p.Account.Matched()
	}
	config := client.Config{Addr: t.Udp, More: t.OtherUdp, Shard: t.Room, Identity: p.Player, Ticket: t.Ticket, Bot: arena.NewBot(p.Seed), NoRejoin: true, DialUDP: p.DialUDP, Logger: p.Logger}
	if t.Udp == "" {
		config.Addr, config.More, config.Transport = t.Tcp, t.OtherTcp, client.TCP
	}
	if back && p.token.Session != 0 {
		config.Resume = &p.token
	}
	p.match, p.last = t.Room, t.Room
	entering, cancel := context.WithTimeout(ctx, enterIn)
	defer cancel()
	c, err := client.Dial(entering, config)
	if err != nil {
		p.over(err)
		p.token = client.ResumeToken{} // if it was that, a ticket opens another session
		return err
	}
	p.room = c
	p.Account.Enter(back)
	return nil
}

// play waits while the bot plays.
func (p *player) play(ctx context.Context) {
	seen, at := uint64(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.room.Done():
			p.token = client.ResumeToken{}
			p.over(p.room.Err())
			p.room = nil
			return
		case <-time.After(lookEvery):
		}
		if now := p.room.Stats().LastTick; now > seen {
			seen, at = now, time.Now()
		} else if time.Since(at) > lostAfter {
			p.token = p.room.Abandon()
			p.over(p.room.Err())
			p.room = nil
			return
		}
	}
}

// over says that the player is in no room, and ends its match if the room has ended.
func (p *player) over(err error) {
	p.Account.Leave()
	var bye *client.ByeError
	if errors.As(err, &bye) && bye.Reason == wirepb.Reason_REASON_ENDED {
		p.match, p.token = "", client.ResumeToken{}
		p.Account.Wait()
	}
}
