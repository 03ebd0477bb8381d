package service

import (
	"context"

	"github.com/ferris1/wind/netcode/rpc"
)

// Rooms asks the cluster for rooms: shards that end. Its calls suspend the handler, and wait no longer than the request's
// deadline.
func (c *Ctx) Rooms() rpc.Rooms { return suspendingRooms{c, rpc.RoomsOver(c.s.cfg.Bus, c.s.name())} }

// suspendingRooms is an rpc.Rooms whose calls let other handlers run.
type suspendingRooms struct {
	c     *Ctx
	rooms rpc.Rooms
}

// ask runs f with the request's deadline, or that of ctx if it is earlier. effect says whether f may change something.
func (r suspendingRooms) ask(ctx context.Context, effect bool, f func(context.Context) error) (err error) {
	if err := ctx.Err(); err != nil {
		return rpc.ErrorOf(err)
	}
	ctx, cancel := context.WithDeadline(ctx, r.c.deadline)
	defer cancel()
	r.c.Suspend(func() { err = f(ctx) })
	if effect {
		r.c.effects.sent(err)
	}
	return err
}

// Create implements rpc.Rooms.
func (r suspendingRooms) Create(ctx context.Context, q rpc.RoomRequest) (made *rpc.Room, err error) {
	err = r.ask(ctx, true, func(ctx context.Context) (err error) { made, err = r.rooms.Create(ctx, q); return err })
	return made, err
}

// Close implements rpc.Rooms.
func (r suspendingRooms) Close(ctx context.Context, id string) (closed *rpc.Room, err error) {
	err = r.ask(ctx, true, func(ctx context.Context) (err error) { closed, err = r.rooms.Close(ctx, id); return err })
	return closed, err
}

// Remove implements rpc.Rooms.
func (r suspendingRooms) Remove(ctx context.Context, q rpc.RoomRemoval) (removed *rpc.Room, err error) {
	err = r.ask(ctx, true, func(ctx context.Context) (err error) { removed, err = r.rooms.Remove(ctx, q); return err })
	return removed, err
}

// List implements rpc.Rooms.
func (r suspendingRooms) List(ctx context.Context, f rpc.RoomFilter) (all []rpc.Room, err error) {
	err = r.ask(ctx, false, func(ctx context.Context) (err error) { all, err = r.rooms.List(ctx, f); return err })
	return all, err
}

// Changes implements rpc.Rooms.
func (r suspendingRooms) Changes(ctx context.Context, f rpc.RoomFilter, after int64) (changed []rpc.Room, revision int64, err error) {
	err = r.ask(ctx, false, func(ctx context.Context) (err error) {
		changed, revision, err = r.rooms.Changes(ctx, f, after)
		return err
	})
	return changed, revision, err
}

// Ticket implements rpc.Rooms.
func (r suspendingRooms) Ticket(ctx context.Context, id, player string) (ticket *rpc.RoomTicket, err error) {
	err = r.ask(ctx, true, func(ctx context.Context) (err error) { ticket, err = r.rooms.Ticket(ctx, id, player); return err })
	return ticket, err
}
