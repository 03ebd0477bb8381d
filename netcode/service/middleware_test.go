package service_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

// around is middleware that records its calls.
func around(name string, to *[]string) service.Middleware {
	return func(next service.Handler) service.Handler {
		return func(c *service.Ctx, r *rpc.Request) rpc.Response {
			*to = append(*to, name+" in")
			defer func() { *to = append(*to, name+" out") }()
			return next(c, r)
		}
	}
}

func TestMiddlewareIsAroundHandlersAndTheFirstIsOutermost(t *testing.T) {
	var passed []string
	s := start(t, service.Config{Client: []any{echo{}}, Middleware: []service.Middleware{around("a", &passed), around("b", &passed)}})
	if a := ask(t, s, from("", wrapperspb.String("x"))); a.Err == nil || a.Err.Code != rpc.Unauthenticated {
		t.Fatalf("got %v", a.Err)
	}
	if got := fmt.Sprint(passed); got != "[a in b in b out a out]" {
		t.Fatalf("passed %s", got)
	}
}

func TestRateLimitsFillUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, service.Config{Client: []any{echo{}}, Public: []string{"StringValue"}, Middleware: []service.Middleware{service.RateLimit(10, 3)}})
		count := func(session string) (n int) {
			for range 5 {
				r := from("", wrapperspb.String("x"))
				r.Session = session
				if a := ask(t, s, r); a.Err == nil {
					n++
				} else if a.Err.Code != rpc.ResourceExhausted || a.Err.Maybe {
					t.Error(a.Err)
				}
			}
			return n
		}
		// With more sessions than are kept, full buckets are removed, which changes nothing for those sessions.
		for i := range 10_000 {
			if i%5000 == 4999 {
				time.Sleep(time.Second)
			}
			r := from("", wrapperspb.String("x"))
			r.Session = fmt.Sprint("g/", i)
			if a := ask(t, s, r); a.Err != nil {
				t.Error(a.Err)
			}
		}
		if n := count("g/x"); n != 3 {
			t.Errorf("%d at once, want 3", n)
		}
		time.Sleep(200*time.Millisecond + time.Microsecond)
		if n := count("g/x"); n != 2 {
			t.Errorf("%d after 200 ms, want 2", n)
		}
	})
}

// traced records the span of its request.
type traced struct{ seen trace.SpanContext }

func (h *traced) StringValue(c *service.Ctx, r *wrapperspb.StringValue) error {
	h.seen = trace.SpanContextFromContext(c)
	_, err := c.Call(rpc.Address{Type: "back"}, r)
	return err
}

func TestTracesGoThroughServices(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracing := []service.Middleware{service.Tracing(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))}
	bus := rpc.NewMemoryBus()
	back := start(t, service.Config{Bus: bus, Server: []any{fails{}}, Middleware: tracing})
	bus.Serve("back", "back-1", back.Handle)
	h := &traced{}
	front := start(t, service.Config{Bus: bus, Client: []any{h}, Middleware: tracing})
	r := from("ann", wrapperspb.String("x"))
	r.Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if a := ask(t, front, r); a.Err == nil || a.Err.Code != rpc.NotFound {
		t.Fatalf("got %v", a.Err)
	}
	ended := spans.Ended()
	if len(ended) != 2 {
		t.Fatalf("%d spans", len(ended))
	}
	inner, outer := ended[0], ended[1]
	if outer.Parent().SpanID().String() != "b7ad6b7169203331" || inner.Parent().SpanID() != outer.SpanContext().SpanID() || h.seen.SpanID() != outer.SpanContext().SpanID() ||
		inner.SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Fatalf("outer %v of %v, inner %v of %v, the handler saw %v", outer.SpanContext(), outer.Parent(), inner.SpanContext(), inner.Parent(), h.seen)
	}
	if inner.Name() != "StringValue" || inner.Status().Description != "not found" {
		t.Fatalf("the inner span is %s, %v", inner.Name(), inner.Status())
	}
	if r.Trace != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" {
		t.Fatal("the request was written to")
	}
}

type fails struct{}

func (fails) StringValue(*service.Ctx, *wrapperspb.StringValue) error {
	return rpc.Errorf(rpc.NotFound, "nothing")
}

func TestMetricsCountRequestsByMessageAndCode(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := start(t, service.Config{Client: []any{echo{}}, Registerer: reg, Logger: (&captured{}).logger()})
	nonsense := from("ann", wrapperspb.String("x"))
	nonsense.Message = "any name that a client makes up"
	for _, r := range []*rpc.Request{from("ann", wrapperspb.String("x")), from("ben", wrapperspb.String("x")), from("ann", wrapperspb.Int64(1)), nonsense} {
		ask(t, s, r)
	}
	got := metrics(t, reg)
	for line, want := range map[string]float64{
		"wind_rpc_requests_total code=ok message=StringValue service=game":        2,
		"wind_rpc_requests_total code=not found message=Int64Value service=game":  1,
		"wind_rpc_requests_total code=unimplemented message=unknown service=game": 1,
		"wind_rpc_seconds message=StringValue service=game":                       2,
		"wind_rpc_in_flight service=game":                                         0,
		"wind_rpc_waiting service=game":                                           0,
		"wind_rpc_players service=game":                                           2,
	} {
		if v, ok := got[line]; !ok || v != want {
			t.Errorf("%s is %v, want %v; there are %s", line, v, want, strings.Join(slices.Sorted(maps.Keys(got)), "\n"))
		}
	}
	closeIt(t, s)
	if left := metrics(t, reg); len(left) != 0 {
		t.Errorf("after Close: %v", left)
	}
}

// metrics returns values by name and labels; for a histogram, its count.
func metrics(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			line := f.GetName()
			for _, l := range m.Label {
				line += fmt.Sprintf(" %s=%s", l.GetName(), l.GetValue())
			}
			all[line] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func TestPlayersAreCountedUntilTheyAreGoneOrSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, service.Config{Client: []any{echo{}}})
		for _, player := range []string{"ann", "ben", "ann", "cat"} {
			ask(t, s, from(player, wrapperspb.String("x")))
		}
		players := func(want int) {
			t.Helper()
			if n := s.Stats().Players; n != want {
				t.Errorf("%d players, want %d", n, want)
			}
		}
		players(3)
		gone := &rpc.Request{Message: rpc.Disconnected, Player: "ben", From: "gateway/g"}
		if a := ask(t, s, gone); a.Err != nil {
			t.Error(a.Err)
		}
		players(2)
		time.Sleep(65 * time.Second)
		players(2)
		ask(t, s, from("dan", wrapperspb.String("x")))
		players(3)
		if a := ask(t, s, &rpc.Request{Message: rpc.Disconnected, Player: "cat", From: "gateway/g"}); a.Err != nil {
			t.Error(a.Err)
		}
		players(2)
		time.Sleep(60 * time.Second)
		players(1)
		time.Sleep(10 * time.Minute)
		players(0)
	})
}
