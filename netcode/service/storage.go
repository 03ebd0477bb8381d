package service

import (
	"context"

	"github.com/ferris1/wind/netcode/rpc"
)

// Store returns the service's store. Its calls suspend the handler. They fail without any effect for keys and values out
// of bounds, and after the request's deadline.
func (c *Ctx) Store() rpc.Store { return suspending{c} }

// suspending is a Store whose calls let other handlers run.
type suspending struct{ c *Ctx }

func (s suspending) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	if err = s.check(ctx, key, nil); err == nil {
		s.c.Suspend(func() { value, revision, err = s.c.s.cfg.Store.Get(ctx, key) })
	}
	return
}

func (s suspending) Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error) {
	if err = s.check(ctx, key, value); err == nil {
		s.c.Suspend(func() { next, ok, err = s.c.s.cfg.Store.Put(ctx, key, value, revision) })
		s.c.effects.written(ok, err)
	}
	return
}

func (s suspending) Delete(ctx context.Context, key string, revision uint64) (ok bool, err error) {
	if err = s.check(ctx, key, nil); err == nil {
		s.c.Suspend(func() { ok, err = s.c.s.cfg.Store.Delete(ctx, key, revision) })
		s.c.effects.written(ok, err)
	}
	return
}

func (s suspending) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	if err = ctx.Err(); err == nil {
		s.c.Suspend(func() { keys, err = s.c.s.cfg.Store.Keys(ctx, prefix) })
	}
	return
}

func (s suspending) check(ctx context.Context, key string, value []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return rpc.CheckEntry(key, value)
}

// noStore and noBus replace a nil Config.Store and a nil Config.Bus.
type (
	noStore struct{}
	noBus   struct{}
)

func (noStore) err() error { return rpc.Errorf(rpc.FailedPrecondition, "this service has no store") }

func (s noStore) Get(context.Context, string) ([]byte, uint64, error) { return nil, 0, s.err() }
func (s noStore) Put(context.Context, string, []byte, uint64) (uint64, bool, error) {
	return 0, false, s.err()
}
func (s noStore) Delete(context.Context, string, uint64) (bool, error) { return false, s.err() }
func (s noStore) Keys(context.Context, string) ([]string, error)       { return nil, s.err() }

func (noBus) err() error { return rpc.Errorf(rpc.FailedPrecondition, "this service has no bus") }

func (b noBus) Call(context.Context, rpc.Address, rpc.Request) (rpc.Response, error) {
	return rpc.Response{}, b.err()
}
func (b noBus) Tell(rpc.Address, rpc.Request) error { return b.err() }
func (b noBus) Push(string, rpc.Push) error         { return b.err() }
func (b noBus) Command(context.Context, string, rpc.ShardCommand) (uint64, error) {
	return 0, b.err()
}
