package service

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/ferris1/wind/netcode/rpc"
)

// RateLimit allows each player perSecond requests per second, with bursts of burst requests. Each session without a
// login has its own limit. Requests beyond the limit fail with ResourceExhausted and NotBegun. Services are not limited.
func RateLimit(perSecond float64, burst int) Middleware {
	limits := &limits{rate: perSecond, burst: float64(burst), buckets: map[laneKey]*bucket{}, sweep: minSweep}
	return func(next Handler) Handler {
		return func(c *Ctx, r *rpc.Request) rpc.Response {
			if r.FromClient() && !limits.take(laneOf(r), time.Now()) {
				return rpc.Response{Err: rpc.NotBegun(rpc.ResourceExhausted, "more than %g requests per second", perSecond)}
			}
			return next(c, r)
		}
	}
}

// minSweep is how many buckets are kept before the first removal of full ones.
const minSweep = 1 << 12

// limits holds token buckets, one per player.
type limits struct {
	rate, burst float64
	mu          sync.Mutex
	buckets     map[laneKey]*bucket
	sweep       int // number of buckets at which full ones are removed
}

type bucket struct {
	level float64
	last  time.Time
}

func (l *limits) take(key laneKey, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		if len(l.buckets) >= l.sweep {
			l.forget(now)
		}
		b = &bucket{level: l.burst, last: now}
		l.buckets[key] = b
	}
	b.fill(l, now)
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

func (b *bucket) fill(l *limits, now time.Time) {
	b.level = min(l.burst, b.level+now.Sub(b.last).Seconds()*l.rate)
	b.last = now
}

// forget removes full buckets, which are the same as new ones. It runs again when the number of buckets has doubled, so
// that the cost per request stays low.
func (l *limits) forget(now time.Time) {
	for key, b := range l.buckets {
		if b.fill(l, now); b.level >= l.burst {
			delete(l.buckets, key)
		}
	}
	l.sweep = max(minSweep, 2*len(l.buckets))
}

// Tracing makes a span for each request: a child of the caller's, if the caller sent one. Requests that the handler
// sends are children of the span.
func Tracing(provider trace.TracerProvider) Middleware {
	tracer := provider.Tracer("github.com/ferris1/wind/netcode/service")
	return func(next Handler) Handler {
		return func(c *Ctx, r *rpc.Request) rpc.Response {
			carrier := propagation.MapCarrier{"traceparent": r.Trace}
			parent := propagation.TraceContext{}.Extract(context.Background(), carrier)
			ctx, span := tracer.Start(parent, r.Message, trace.WithSpanKind(trace.SpanKindServer),
				trace.WithAttributes(attribute.String("rpc.system", "wind"), attribute.String("rpc.service", c.s.cfg.Type), attribute.String("rpc.method", r.Message)))
			defer span.End()
			propagation.TraceContext{}.Inject(ctx, carrier)
			traced := *r
			traced.Trace = carrier["traceparent"]
			c.request, c.values = &traced, ctx
			a := next(c, &traced)
			if a.Err != nil {
				span.SetStatus(codes.Error, a.Err.Code.String())
				span.SetAttributes(attribute.Int64("rpc.code", int64(a.Err.Code)))
			}
			return a
		}
	}
}
