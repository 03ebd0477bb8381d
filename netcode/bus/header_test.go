package bus

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// wire encodes a message's header as NATS does, and decodes it again.
func wire(t *testing.T, h nats.Header) nats.Header {
	t.Helper()
	if len(h) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("NATS/1.0\r\n")
	for k, vs := range h {
		for _, v := range vs {
			b.WriteString(k + ": " + v + "\r\n")
		}
	}
	b.WriteString("\r\n")
	back, err := nats.DecodeHeadersMsg([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// FuzzRequestHeader reads any header. An accepted request must survive the next hop unchanged, and nothing may split a
// line.
func FuzzRequestHeader(f *testing.F) {
	f.Add("PlayerMoveRequest", "json", "player 1", "gateway-1/7", "gateway/gateway-1", "250", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", []byte("x"))
	f.Add("A", "", "\xff", "a\r\nb", " ", "-1", "\x00", []byte(nil))
	f.Add("A", "protobuf", "\u0085p", "", "", "99999999999999999999", "é", []byte(nil))
	f.Add("A", "", "p\u2028", "", "", "9223372036854775807", "", []byte(nil))
	f.Fuzz(func(t *testing.T, message, format, player, session, from, timeout, trace string, payload []byte) {
		h := nats.Header{headerMessage: {message}, headerFormat: {format}, headerPlayer: {player}, headerSession: {session}, headerFrom: {from}, headerTimeout: {timeout}, headerTrace: {trace}}
		r, err := parseRequest(h, payload)
		if err != nil {
			if !utf8.ValidString(errorText(err.Error())) {
				t.Fatalf("%q", err)
			}
			return
		}
		if r.Timeout < 0 || r.Timeout > MaxTimeout {
			t.Fatalf("timeout %v", r.Timeout)
		}
		again, err := parseRequest(wire(t, requestHeader(r, r.Timeout)), payload)
		if err != nil {
			t.Fatalf("it was accepted and cannot be sent on: %v", err)
		}
		if r.Timeout == 0 {
			again.Timeout = 0
		}
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("it changed in transit:\n%+v\n%+v", r, again)
		}
	})
}

func FuzzResponseHeader(f *testing.F) {
	f.Add("PlayerLoginResponse", "json", "p", "", "", "")
	f.Add("", "", "", "14", "gone\nand more", "1")
	f.Add("", "", "", "0", "", "")
	f.Add("a b", "xml", " ", "99", strings.Repeat("é", 2000), "x")
	f.Fuzz(func(t *testing.T, message, format, player, code, text, maybe string) {
		h := nats.Header{}
		for k, v := range map[string]string{headerMessage: message, headerFormat: format, headerPlayer: player, headerCode: code, headerError: text, headerMaybe: maybe} {
			if v != "" {
				h[k] = []string{v}
			}
		}
		r := parseResponse(h, nil)
		if r.Err != nil && (r.Err.Code == rpc.OK || r.Message != "" || r.Player != "") {
			t.Fatalf("%+v", r)
		}
		m := responseMsg("reply", &r)
		again := parseResponse(wire(t, m.Header), m.Data)
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("it changed in transit:\n%+v %v\n%+v %v", r, r.Err, again, again.Err)
		}
	})
}

func FuzzPlayerSubject(f *testing.F) {
	for _, s := range []string{"p", "a.b", "*", ">", "😀", " x", "\x00", strings.Repeat("x", 128)} {
		f.Add(s)
	}
	sub, err := newSubjects("dev")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		_, _ = sub.playerOf(name)
		if rpc.ValidPlayer(name) != nil {
			return
		}
		subject := sub.player(name)
		if strings.ContainsAny(strings.TrimPrefix(subject, "windrpc.dev.player."), ".*> \r\n\t") {
			t.Fatalf("subject %q", subject)
		}
		if back, ok := sub.playerOf(subject); !ok || back != name {
			t.Fatalf("%q came back as %q, %v", name, back, ok)
		}
	})
}

func TestPendingTimesOutInOrderAndOnce(t *testing.T) {
	p := newPending()
	var ended []string
	add := func(name string, after time.Duration) uint64 {
		token, refused := p.add(&call{kind: name, done: func(rpc.Response) {}}, after)
		if refused != nil {
			t.Fatal(refused)
		}
		return token
	}
	run := func(at time.Duration) {
		for _, c := range p.expire(p.start.Add(at)) {
			ended = append(ended, c.kind)
		}
	}
	add("short", time.Second)
	add("long", wheelSlots*wheelTurn+time.Second) // in the same slot, one round later
	taken := add("taken", time.Second)
	if c := p.take(taken); c == nil || c.kind != "taken" || p.take(taken) != nil {
		t.Fatal("it was not taken once")
	}
	run(900 * time.Millisecond)
	if ended != nil {
		t.Fatalf("%v ended too early", ended)
	}
	run(5 * time.Second)
	if len(ended) != 1 || ended[0] != "short" {
		t.Fatalf("%v ended", ended)
	}
	run(5 * time.Second)
	run(time.Hour) // a machine that slept
	if len(ended) != 2 || ended[1] != "long" || p.len() != 0 {
		t.Fatalf("%v ended, %d wait", ended, p.len())
	}
}

func TestPendingIsBounded(t *testing.T) {
	p := newPending()
	for i := range MaxPending {
		if _, refused := p.add(&call{}, time.Minute); refused != nil {
			t.Fatalf("%d: %v", i, refused)
		}
	}
	if _, refused := p.add(&call{}, time.Minute); refused == nil || refused.Code != rpc.ResourceExhausted || refused.Maybe {
		t.Fatalf("%v", refused)
	}
	if got := p.takeAll(func(*call) bool { return true }); len(got) != MaxPending {
		t.Fatalf("%d taken", len(got))
	}
	if _, refused := p.add(&call{}, time.Minute); refused != nil {
		t.Fatal(refused)
	}
}
