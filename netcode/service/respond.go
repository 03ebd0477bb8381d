package service

import "github.com/ferris1/wind/netcode/rpc"

// respond is the innermost handler. It runs the message's handler.
func (s *Service) respond(c *Ctx, r *rpc.Request) rpc.Response {
	e := c.table.of(r)[r.Message]
	if r.Message == rpc.Disconnected && !r.FromClient() {
		s.forget(r.Player)
		if e == nil {
			return rpc.Response{} // handling it is optional
		}
	}
	if e == nil {
		return rpc.Response{Err: s.unknown(c.table, r)}
	}
	out, err := e.run(c, r)
	if err != nil {
		return rpc.Response{Err: s.failure(c, r, err)}
	}
	a := rpc.Response{Format: r.Format, Player: c.login}
	if out == nil {
		return a
	}
	a.Message = rpc.ShortName(out)
	if a.Payload, err = rpc.Encode(r.Format, out); err != nil {
		s.log.Error("service: cannot encode an answer", "message", a.Message, "error", err)
		return rpc.Response{Err: broken()}
	}
	return a
}

// failure converts a handler's error for the caller. It logs the details that are the service's own business instead of
// sending them.
func (s *Service) failure(c *Ctx, r *rpc.Request, err error) *rpc.Error {
	e := *rpc.ErrorOf(err)
	switch e.Code {
	case rpc.OK:
		e.Code = rpc.Unknown // a failure must not look like a success
	case rpc.Internal:
		s.log.Error("service: a handler failed", "message", r.Message, "player", r.Player, "error", err)
	}
	return c.told(&e)
}

// unknown says that r's sender has no handler for the message, and suggests one that exists.
func (s *Service) unknown(t *table, r *rpc.Request) *rpc.Error {
	switch {
	case r.FromClient() && t.server[r.Message] != nil:
		return rpc.NotBegun(rpc.PermissionDenied, "%s is not for clients: service %s handles it for services only", r.Message, s.cfg.Type)
	case !r.FromClient() && t.client[r.Message] != nil:
		return rpc.NotBegun(rpc.Unimplemented, "service %s handles %s for players only, and this request did not come from a player's client", s.cfg.Type, r.Message)
	}
	if near := t.near(r); near != "" {
		return rpc.NotBegun(rpc.Unimplemented, "service %s has no handler for %.80s (did you mean %s?)", s.cfg.Type, r.Message, near)
	}
	return rpc.NotBegun(rpc.Unimplemented, "service %s has no handler for %.80s", s.cfg.Type, r.Message)
}

// requireLogin refuses messages that need a login from sessions without one.
func (s *Service) requireLogin(next Handler) Handler {
	open := map[string]bool{}
	for _, name := range append(append([]string{}, s.cfg.Public...), s.cfg.Login...) {
		open[name] = true
	}
	return func(c *Ctx, r *rpc.Request) rpc.Response {
		if r.FromClient() && r.Player == "" && !open[r.Message] {
			return rpc.Response{Err: rpc.NotBegun(rpc.Unauthenticated, "%.80s needs a login", r.Message)}
		}
		return next(c, r)
	}
}
