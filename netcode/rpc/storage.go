package rpc

import (
	"context"
	"unicode/utf8"
)

// The bounds of what a Store keeps.
const (
	maxKey   = 512     // bytes
	maxValue = 1 << 20 // bytes
)

// Store is the service's store. Its calls suspend the handler; they fail, without
// having done anything, for keys and values out of bounds and once the request's
// time is over.
func (c *Ctx) Store() Store { return suspending{c} }

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
	}
	return
}

func (s suspending) Delete(ctx context.Context, key string, revision uint64) (ok bool, err error) {
	if err = s.check(ctx, key, nil); err == nil {
		s.c.Suspend(func() { ok, err = s.c.s.cfg.Store.Delete(ctx, key, revision) })
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
	return checkEntry(key, value)
}

// checkEntry refuses what no Store keeps.
func checkEntry(key string, value []byte) error {
	switch {
	case key == "" || len(key) > maxKey || !utf8.ValidString(key):
		return Errorf(InvalidArgument, "a key of the store has 1 to %d bytes of UTF-8, not %d: %.40q", maxKey, len(key), key)
	case len(value) > maxValue:
		return Errorf(InvalidArgument, "the value of %.40q has %d bytes: the store takes %d", key, len(value), maxValue)
	}
	return nil
}

// noStore and noBus are what a service has that was given none.
type (
	noStore struct{}
	noBus   struct{}
)

func (noStore) err() error { return Errorf(FailedPrecondition, "this service has no store") }

func (s noStore) Get(context.Context, string) ([]byte, uint64, error) { return nil, 0, s.err() }
func (s noStore) Put(context.Context, string, []byte, uint64) (uint64, bool, error) {
	return 0, false, s.err()
}
func (s noStore) Delete(context.Context, string, uint64) (bool, error) { return false, s.err() }
func (s noStore) Keys(context.Context, string) ([]string, error)       { return nil, s.err() }

func (noBus) err() error { return Errorf(FailedPrecondition, "this service has no bus") }

func (b noBus) Call(context.Context, Address, Request) (Response, error) { return Response{}, b.err() }
func (b noBus) Tell(Address, Request) error                              { return b.err() }
func (b noBus) Push(string, Push) error                                  { return b.err() }
