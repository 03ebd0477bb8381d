package gateway_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// This client knows nothing of Wind but the frames and ids of ferris1/wind.
func TestAClientOfFerris1WindPlays(t *testing.T) {
	c := newCluster(t)
	var game *instance
	game = c.start("game", "game-1", func(r *rpc.Request, done func(rpc.Response)) {
		if r.Message == "SpeakOnWorldRequest" { // relayed to everyone, without an answer
			var m testpb.SpeakOnWorldRequest
			read(r, &m)
			c.push("", speech(rpc.Protobuf, r.Player+": "+m.Content))
			done(rpc.Response{})
			return
		}
		game.serve(r, done)
	})
	f := c.front("gateway-1", nil)
	ann, bob := dialRaw(t, f), dialRaw(t, f)
	for player, r := range map[string]*raw{"ann": ann, "bob": bob} {
		r.send(wirepb.IDHeartbeat, &testpb.PlayerLoginRequest{PlayerId: player})
		r.send(1001, &testpb.PlayerLoginRequest{PlayerId: player})
		var in testpb.PlayerLoginResponse
		r.expect(1002, &in)
		must(t, "player", in.PlayerId, player)
		r.send(1003, &testpb.CreateRoleRequest{PlayerId: player, RoleId: 1010})
		var role testpb.CreateRoleResponse
		r.expect(1004, &role)
		must(t, "role", role.RoleId, 1010)
	}
	ann.send(1005, &testpb.SpeakOnWorldRequest{PlayerId: "ann", Name: "name_ann", Content: "hello, i'm wind!"})
	for _, r := range []*raw{ann, bob} {
		var said testpb.SpeakOnWorldResponse
		r.expect(1006, &said)
		must(t, "content", said.Content, "ann: hello, i'm wind!")
	}
	bob.send(4711, &testpb.EchoRequest{})
	var f2 wirepb.Fault
	bob.expect(wirepb.IDFault, &f2)
	if f2.Code != uint32(rpc.Unimplemented) || f2.Message != 4711 || f2.Text != "no service handles message 4711" {
		t.Errorf("%v", &f2)
	}
}

func TestACallsAnswerHasItsNumber(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	r := dialRaw(t, f)
	want := func(id uint32, call string) []byte {
		t.Helper()
		got, payload := r.next()
		if got != id || len(payload) < 4 || string(payload[:4]) != call {
			t.Fatalf("got message %x with %q", got, payload)
		}
		return payload[4:]
	}
	r.call(1203, 0x04030201, 0, &testpb.NewsRequest{})
	var news testpb.NewsResponse
	if err := proto.Unmarshal(want(1204|wirepb.IDCall, "\x01\x02\x03\x04"), &news); err != nil || news.Text != "all is well" {
		t.Errorf("%v, %v", &news, err)
	}
	r.call(1201, 2, 0, &testpb.EchoRequest{})
	var e wirepb.Fault
	if err := proto.Unmarshal(want(wirepb.IDFault|wirepb.IDCall, "\x02\x00\x00\x00"), &e); err != nil || e.Code != 16 || e.Message != 1201 {
		t.Errorf("%v, %v", &e, err)
	}
	r.call(1001, 3, 0, &testpb.PlayerLoginRequest{PlayerId: "ann"})
	want(1002|wirepb.IDCall, "\x03\x00\x00\x00")
	r.call(1205, 4, 0, &testpb.Shout{})
	if rest := want(wirepb.IDCall, "\x04\x00\x00\x00"); len(rest) != 0 {
		t.Errorf("an empty answer has %q", rest)
	}
	r.write(frame.Append(nil, 1201|wirepb.IDCall, []byte("1234567"))) // shorter than a call's header
	must(t, "reason", r.bye(), wirepb.Reason_REASON_PROTOCOL)
}

func TestOpenComesFirstOrNotAtAll(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	late := dialRaw(t, f)
	late.send(1203, &testpb.NewsRequest{})
	late.expect(1204, new(testpb.NewsResponse))
	late.send(wirepb.IDOpen, &wirepb.Open{})
	must(t, "reason", late.bye(), wirepb.Reason_REASON_PROTOCOL)
	odd := dialRaw(t, f)
	odd.send(wirepb.IDOpen, &wirepb.Open{Format: 9})
	must(t, "reason", odd.bye(), wirepb.Reason_REASON_PROTOCOL)
	bad := dialRaw(t, f)
	bad.write(frame.Append(nil, wirepb.IDOpen, []byte{0xFF}))
	must(t, "reason", bad.bye(), wirepb.Reason_REASON_PROTOCOL)
	good := dialRaw(t, f)
	good.send(wirepb.IDOpen, &wirepb.Open{Format: wirepb.Format_FORMAT_JSON, Coalesce: true})
	var opened wirepb.Opened
	good.expect(wirepb.IDOpened, &opened)
	must(t, "gateway", opened.Gateway, "gateway-1")
	good.write(frame.Append(nil, 1203, []byte("{}")))
	if id, payload := good.next(); id != 1204 || !same(t, string(payload), `{"text":"all is well"}`) {
		t.Errorf("got message %d, %q", id, payload)
	}
	good.write(frame.Append(nil, 1201, []byte("{}")))
	if id, payload := good.next(); id != wirepb.IDFault || !same(t, string(payload), `{"code":16,"text":"EchoRequest needs a login","message":1201,"maybe":false}`) {
		t.Errorf("got message %d, %q", id, payload)
	}
}
