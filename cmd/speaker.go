package cmd

import (
	"context"
	"log/slog"
)

// speaker is a log handler that spells the commands in its lines.
type speaker struct {
	slog.Handler
	self *self
}

// Handle implements slog.Handler.
func (s speaker) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, s.self.spell(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case error:
			a.Value = slog.StringValue(s.self.spell(v.Error()))
		case string:
			a.Value = slog.StringValue(s.self.spell(v))
		}
		out.AddAttrs(a)
		return true
	})
	return s.Handler.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (s speaker) WithAttrs(attrs []slog.Attr) slog.Handler {
	return speaker{s.Handler.WithAttrs(attrs), s.self}
}

// WithGroup implements slog.Handler.
func (s speaker) WithGroup(name string) slog.Handler {
	return speaker{s.Handler.WithGroup(name), s.self}
}
