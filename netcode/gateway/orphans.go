package gateway

import (
	"strings"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// Type is the gateways' type of service in the Directory.
const Type = "gateway"

// maxOrphans bounds how many records are examined at once after a gateway has gone.
const maxOrphans = 16

// adopt gives up, after the grace, the records of sessions whose gateway is gone. Of all the gateways that examine a
// record, one tells the player's instances. A player that comes back in time finds them again.
func (g *Gateway) adopt() {
	select {
	case <-time.After(g.cfg.Limits.Grace):
	case <-g.ctx.Done():
		return
	}
	keys, err := g.cfg.Bindings.Keys(g.ctx, recordPrefix)
	if err != nil {
		g.log.Warn("gateway: cannot list the players of gateways that are gone", "error", err)
		return
	}
	next := make(chan string)
	var group sync.WaitGroup
	for range maxOrphans {
		group.Go(func() {
			for key := range next {
				g.orphan(key)
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	group.Wait()
}

// orphan gives up one record if its session's gateway is gone.
func (g *Gateway) orphan(key string) {
	player, ok := recordPlayer(key)
	if !ok || g.ctx.Err() != nil {
		return
	}
	ctx, end := g.access()
	defer end()
	value, revision, err := g.cfg.Bindings.Get(ctx, key)
	r, broken := ParseRecord(value)
	if err != nil || broken != nil || revision == 0 || r.Left || r.Session == "" || !g.gone(r.Session) {
		return
	}
	r.Left = true
	if _, ok, err := g.cfg.Bindings.PutFor(ctx, key, r.bytes(), revision, g.cfg.Limits.Return); !ok || err != nil {
		return // another gateway was first, or the record will expire
	}
	g.counters.orphans.Add(1)
	for kind, instance := range r.At {
		g.tell(player, r.Session, kind, instance)
	}
}

// gone reports whether a session's gateway is gone: the directory does not list it, or it was an earlier process with
// this gateway's id.
func (g *Gateway) gone(session string) bool {
	id := gatewayOf(session)
	if id == g.cfg.ID {
		return !strings.HasPrefix(session, id+"/"+g.life+"-")
	}
	return !g.cfg.Directory.Look(Type, id).Alive
}

// Bound counts the players logged in here, by the instances that work for them.
func (g *Gateway) Bound() map[rpc.Address]int {
	bound := map[rpc.Address]int{}
	for _, s := range g.all() {
		s.mu.Lock()
		if s.m.since && !s.m.yielded {
			for _, b := range s.m.bindings {
				if b.instance != "" {
					bound[rpc.Address{Type: b.kind, ID: b.instance}]++
				}
			}
		}
		s.mu.Unlock()
	}
	return bound
}
