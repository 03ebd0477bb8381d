package rpc

// respond is the innermost handler: it finds the one for the message.
func (s *Service) respond(c *Ctx, r *Request) Response {
	e := c.table.of(r)[r.Message]
	if r.Message == Disconnected && !r.FromClient() {
		s.forget(r.Player)
		if e == nil {
			return Response{} // nobody wants to know
		}
	}
	if e == nil {
		return Response{Err: s.unknown(c.table, r)}
	}
	out, err := e.run(c, r)
	if err != nil {
		return Response{Err: s.failure(r, err)}
	}
	a := Response{Format: r.Format, Player: c.login}
	if out == nil {
		return a
	}
	a.Message = shortName(out)
	if a.Payload, err = encode(r.Format, out); err != nil {
		s.log.Error("rpc: an answer cannot be encoded", "message", a.Message, "error", err)
		return Response{Err: broken()}
	}
	return a
}

// failure is what the caller is told of a handler's error; what is the service's
// own business is logged instead.
func (s *Service) failure(r *Request, err error) *Error {
	e := *ErrorOf(err)
	switch e.Code {
	case OK:
		e.Code = Unknown // a failure is not taken for a success
	case Internal:
		s.log.Error("rpc: a handler failed", "message", r.Message, "player", r.Player, "error", err)
	case Unavailable, DeadlineExceeded:
		// It may be another service's, which the handler called: then that one did
		// nothing, but the handler has run, and must not be run again elsewhere.
		e.Maybe = true
	}
	return &e
}

// unknown says that there is no handler for who sent r, and what there is.
func (s *Service) unknown(t *table, r *Request) *Error {
	switch {
	case r.FromClient() && t.server[r.Message] != nil:
		return Errorf(PermissionDenied, "%s is not for clients: service %s handles it for services only", r.Message, s.cfg.Type)
	case !r.FromClient() && t.client[r.Message] != nil:
		return Errorf(Unimplemented, "service %s handles %s for players only, and this came from no player's client", s.cfg.Type, r.Message)
	}
	if near := t.near(r); near != "" {
		return Errorf(Unimplemented, "service %s has no handler for %.80s (did you mean %s?)", s.cfg.Type, r.Message, near)
	}
	return Errorf(Unimplemented, "service %s has no handler for %.80s", s.cfg.Type, r.Message)
}

// requireLogin refuses what a session sends that nobody is logged in at.
func (s *Service) requireLogin(next Handler) Handler {
	open := map[string]bool{}
	for _, name := range append(append([]string{}, s.cfg.Public...), s.cfg.Login...) {
		open[name] = true
	}
	return func(c *Ctx, r *Request) Response {
		if r.FromClient() && r.Player == "" && !open[r.Message] {
			return Response{Err: Errorf(Unauthenticated, "%.80s needs a login", r.Message)}
		}
		return next(c, r)
	}
}
