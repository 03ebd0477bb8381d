package gateway_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/coder/websocket"

	"github.com/ferris1/wind/netcode/rpc"
)

// talker is a WebSocket client that writes JSON by hand.
type talker struct {
	t   *testing.T
	ctx context.Context
	ws  *websocket.Conn
}

func talk(t *testing.T, url string) *talker {
	t.Helper()
	ctx := soon(t)
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &talker{t, ctx, ws}
}

func (k *talker) say(text string) {
	k.t.Helper()
	if err := k.ws.Write(k.ctx, websocket.MessageText, []byte(text)); err != nil {
		k.t.Fatal(err)
	}
}

// hear reads a message, which must be the given JSON.
func (k *talker) hear(want string) {
	k.t.Helper()
	kind, got, err := k.ws.Read(k.ctx)
	if err != nil || kind != websocket.MessageText {
		k.t.Fatalf("read %v %q, %v", kind, got, err)
	}
	if !same(k.t, string(got), want) {
		k.t.Errorf("read %s, want %s", got, want)
	}
}

func same(t *testing.T, a, b string) bool {
	t.Helper()
	norm := func(s string) string {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		out, _ := json.Marshal(v)
		return string(out)
	}
	return norm(a) == norm(b)
}

func TestAWebSocketClientSpeaksJSON(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	k := talk(t, webSocket(t, f))
	k.say(`{"message":"EchoRequest","call":1,"payload":{"text":"x"}}`)
	k.hear(`{"request":"EchoRequest","call":1,"fault":{"code":16,"text":"EchoRequest needs a login","message":1201,"maybe":false}}`)
	k.say(`{}`)
	k.say(`{"message":"HeartbeatRequest"}`) // neither is answered
	k.say(`{"message":"PlayerLoginRequest","payload":{"player_id":"ann"}}`)
	k.hear(`{"message":"PlayerLoginResponse","payload":{"playerId":"ann","result":true}}`)
	k.say(`{"message":"EchoRequest","call":7,"timeout_ms":500,"payload":{"text":"x"}}`)
	k.hear(`{"message":"EchoResponse","call":7,"payload":{"text":"x","instance":"game-1","player":"ann"}}`)
	k.say(`{"message":"EchoRequest","call":0,"payload":{"text":"broken"}}`)
	k.hear(`{"request":"EchoRequest","call":0,"fault":{"code":5,"text":"there is no broken","message":1201,"maybe":false}}`)
	k.say(`{"message":"Shout","call":8}`)
	k.hear(`{"call":8}`)
	k.say(`{"message":"Nobody","payload":null}`)
	k.hear(`{"request":"Nobody","fault":{"code":12,"text":"no service handles \"Nobody\"","message":0,"maybe":false}}`)
	c.push("ann", speech(rpc.Protobuf, "hi"))
	k.hear(`{"message":"SpeakOnWorldResponse","payload":{"speak_id":"","name":"","content":"hi"}}`)
	k.say(`{"message":"TicketRequest","call":9}`)
	k.hear(`{"request":"TicketRequest","call":9,"fault":{"code":12,"text":"this gateway gives no tickets","message":2104,"maybe":false}}`)
}

// TestWhatTextMayBe checks what PROTOCOL.md says about text that deviates from its table.
func TestWhatTextMayBe(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	k := talk(t, webSocket(t, f))
	news := func(call string) {
		t.Helper()
		k.hear(`{"message":"NewsResponse",` + call + `"payload":{"text":"all is well"}}`)
	}
	for _, nothing := range []string{`null`, `{"message":null}`, `{"message":"","call":1}`, `{"call":1,"payload":{}}`, ` {} `, `{"other":[1]}`} {
		k.say(nothing) // is not answered
	}
	for _, plain := range []string{
		`{"message":"NewsRequest","call":null,"payload":null,"timeout_ms":null}`, `{"message":"NewsRequest","other":{"a":[1]}}`,
		`{"MESSAGE":"NewsRequest","Payload":{}}`, `{"message":"Nobody","message":"NewsRequest"}`, `{"message":"NewsRequest","message":null}`,
		`{"message":"NewsRequest","call":1,"call":null}`, `{"message":"NewsRequest","payload":{"text":1},"payload":{}}`,
	} {
		k.say(plain)
		news("")
	}
	k.say(`{"message":"NewsRequest","call":1,"CALL":4294967295,"timeout_ms":4294967295}`)
	news(`"call":4294967295,`)
	k.say(`{"message":"HeartbeatRequest","call":2}`)
	k.hear(`{"request":"HeartbeatRequest","call":2,"fault":{"code":12,"text":"no service handles \"HeartbeatRequest\"","message":0,"maybe":false}}`)
	k.say("{\"message\":\"a\xff\"}")
	k.hear(`{"request":"a\ufffd","fault":{"code":12,"text":"no service handles \"a\ufffd\"","message":0,"maybe":false}}`)
}

func TestTextThatIsNoMessageEndsTheConnection(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	url := webSocket(t, f)
	honest := talk(t, url)
	for _, text := range []string{
		`hello`, `[]`, `{"message":1}`, `{"message":"EchoRequest","payload":[1]}`, `{"message":"EchoRequest","call":-1}`,
		`{"message":"EchoRequest","call":1.0}`, `{"message":"EchoRequest","call":4294967296}`, `{"message":"EchoRequest","timeout_ms":"5"}`, `{"payload":"x"}`, `{} {}`, `true`,
		"{\"message\":\"\xff", ``,
	} {
		k := talk(t, url)
		k.say(text)
		var m struct{ Bye struct{ Reason, Text string } }
		_, got, err := k.ws.Read(k.ctx)
		if err != nil || json.Unmarshal(got, &m) != nil || m.Bye.Reason != "REASON_PROTOCOL" || m.Bye.Text == "" {
			t.Errorf("%q: read %q, %v", text, got, err)
		}
		if _, _, err := k.ws.Read(k.ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("%q: the end is %v", text, err)
		}
	}
	honest.say(`{"message":"NewsRequest","call":1}`)
	honest.hear(`{"message":"NewsResponse","call":1,"payload":{"text":"all is well"}}`)
}
