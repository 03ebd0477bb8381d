package service_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got the error %v, want %q in it", err, want)
	}
}

func TestMessagesOfScriptsHaveAllThatProtobufHas(t *testing.T) {
	for body, want := range map[string]string{
		`return TradeResponse(text = "%s %d" % (request.item.name, request.item.count))`:                                    "axe 2",
		`return {"text": ",".join([i.name for i in request.items])}`:                                                        "a,b",
		`return {"text": str(request.prices["axe"]) + str("oak" in request.prices) + str(dict(request.prices))}`:            `7False{"axe": 7}`,
		`return {"text": str(request.color == Color.COLOR_RED) + request.color.name}`:                                       "TrueCOLOR_RED",
		`return {"text": str(request.kind == TradeRequest.Kind.KIND_SELL)}`:                                                 "True",
		`return {"text": "%s %s %s" % (has(request, "limit"), has(request, "note"), request.limit)}`:                        "False True 0",
		`return {"text": TradeRequest.Note(text = request.note.text + "!").text}`:                                           "hm!",
		`return {"text": "ok", "echo": {"items": [{"name": "x"}, Item(name = "y")], "color": "COLOR_RED"}}`:                 "ok",
		`return TradeResponse(text = "ok", echo = TradeRequest(named = {"x": {"name": "n"}}, prices = {"a": 1}, kind = 1))`: "ok",
		`request.item.count += 1; return {"text": json.encode(request.item)}`:                                               `{"name":"axe","count":3}`,
		`return {"text": json.encode({"kind": request.kind, "n": [1, 2.5, True, None, "ü\n"]})}`:                            `{"kind":"KIND_SELL","n":[1,2.5,true,null,"ü\n"]}`,
		`return {"text": json.encode(json.decode('{"b":[{"a":1}],"a":null}'))}`:                                             `{"a":null,"b":[{"a":1}]}`,
		`return {"text": json.decode("nonsense", "instead")}`:                                                               "instead",
	} {
		s := newShop(t, service.Config{Scripts: trader(body)})
		got, err := s.trade(t, `{"item": {"name": "axe", "count": 2}, "items": [{"name": "a"}, {"name": "b"}], "prices": {"axe": 7},
			"color": "COLOR_RED", "kind": "KIND_SELL", "note": {"text": "hm"}}`)
		if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") || err != nil {
			t.Errorf("%s\n  answers %q, %v, want %q", body, got, err, want)
		}
	}
}

func TestWrongFieldsAreNamedWithTheNearestOne(t *testing.T) {
	for body, want := range map[string]string{
		`return TradeResponse(txt = "x")`:                            "handlers_client/a.star:2:25: Handler_TradeRequest: TradeResponse has no field txt (did you mean text?)",
		`return {"text": request.itm.name}`:                          "has no .itm field (did you mean .item?)",
		`return {"txt": "x"}`:                                        "TradeResponse has no field txt (did you mean text?)",
		`return TradeResponse(echo = {"items": [{"nam": "x"}]})`:     "Item has no field nam (did you mean name?)",
		`return TradeResponse(echo = {"named": {"x": {"cout": 1}}})`: "Item has no field cout (did you mean count?)",
		`return TradeResponse(text = 7)`:                             "TradeResponse: in field text: got int, want string",
		`return TradeResponse(echo = {"color": "RED"})`:              "RED",
		`return has(request, "limt")`:                                "TradeRequest has no field limt (did you mean limit?)",
		`push("ben", TradeResponse)`:                                 "got the type TradeResponse, want a message: TradeResponse(…)",
		`push("ben", 7)`:                                             "got int, want a message",
		`return Item`:                                                "it returns a message",
		`error("not_fund", "x")`:                                     `there is no code "not_fund" (did you mean "not_found"?)`,
		`memory["x"] = client`:                                       "memory keeps values",
		`memory["x"] = Handler_TradeRequest`:                         "memory keeps values",
		`memory[7] = 1`:                                              "the key 7 is a int, want a string",
		`json.encode({1: 2})`:                                        "JSON keys are strings",
		`json.encode(client)`:                                        "a client has no JSON",
		`client.login("ben")`:                                        "TradeRequest cannot log a player in: Config.Login does not name it",
		`sleep(-1)`:                                                  "is not a number of seconds",
		`every(1, Handler_TradeRequest)`:                             "every belongs at the top of a module",
		`store.put("", 1, 0)`:                                        "a key of the store has 1 to 512 bytes",
		`store.put("x", "y" * 1100000, 0)`:                           "the store takes 1048576",
		`fail("on purpose")`:                                         "handlers_client/a.star:2:9: Handler_TradeRequest: fail: on purpose",
		"x = []\n    for i in range(200):\n        x = [x]\n    json.encode(x)":        "lists and dicts nested more than 100 deep",
		"x = []\n    for i in range(60):\n        x = [x, x]\n    json.encode(x)":      "bytes of JSON",
		`json.decode("[" * 5000 + "]" * 5000)`:                                         "lists and objects nested more than 100 deep",
		"t = Tree()\n    t.child = t\n    push(\"ben\", t)":                            "messages nested more than 100 deep",
		"t = Tree(more = [Tree()])\n    t.more[0].child = t\n    return t":             "messages nested more than 100 deep",
		"t = Tree()\n    t.child = t\n    json.encode(t)":                              "messages nested more than 100 deep",
		"d = {}\n    d[\"child\"] = d\n    return TradeResponse(echo = {\"tree\": d})": "messages nested more than 100 deep",
	} {
		log := &captured{}
		s := newShop(t, service.Config{Scripts: trader(body), Logger: log.logger()})
		_, err := s.trade(t, `{}`)
		var e *rpc.Error
		if !errors.As(err, &e) || !strings.Contains(e.Text+log.String(), want) {
			t.Errorf("%s\n  got %v and in the log\n  %s\n  want %q", body, err, log, want)
		}
	}
}

func TestAClientCannotSendEnumsThatScriptsCannotReadOrDeepJSON(t *testing.T) {
	s := newShop(t, service.Config{Scripts: trader(`return {"text": str(request.color) + str(request.colors)}`)})
	for _, json := range []string{`{"color": 9}`, `{"colors": [0, 9]}`, `{"kind": 9}`, `{"color": "COLOR_BLUE"}`, `{"nothing": 1}`, `[]`, strings.Repeat(`{"tree":`, 20000)} {
		_, err := s.Player("ann").AskJSON("TradeRequest", json)
		var e *rpc.Error
		if !errors.As(err, &e) || e.Code != rpc.InvalidArgument || e.Maybe {
			t.Errorf("%.40s: got %v", json, err)
		}
	}
}

// TestAnUnknownFieldIsNamedWithTheNearestOne: in the words of the Python library (test_windcodec.py), whatever runs the handler.
func TestAnUnknownFieldIsNamedWithTheNearestOne(t *testing.T) {
	s := newShop(t, service.Config{Scripts: trader(`return TradeResponse(text = "x")`)})
	for json, want := range map[string]string{
		`{"itm": {"name": "axe"}}`:         `invalid argument: unknown field "itm" of TradeRequest (did you mean item?)`,
		`{"qqqq": null}`:                   `invalid argument: unknown field "qqqq" of TradeRequest`,
		`{"item": {"nam": "axe"}}`:         `invalid argument: TradeRequest.item: unknown field "nam" of Item (did you mean name?)`,
		`{"items": [{}, {"nam": "axe"}]}`:  `invalid argument: TradeRequest.items: unknown field "nam" of Item (did you mean name?)`,
		`{"named": {"a": {"cont": 1}}}`:    `invalid argument: TradeRequest.named: unknown field "cont" of Item (did you mean count?)`,
		`{"tree": {"child": {"kid": {}}}}`: `invalid argument: TradeRequest.tree: Tree.child: unknown field "kid" of Tree`,
		`{"item": {"name": 5}}`:            "invalid argument: the payload is not a valid TradeRequest in json: invalid value for string field name: 5",
		`{"item": `:                        "invalid argument: the payload is not a valid TradeRequest in json: ",
	} {
		_, err := s.Player("ann").AskJSON("TradeRequest", json)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.ContainsAny(err.Error(), "\u00a0") || strings.Contains(err.Error(), "line 1:") && json != `{"item": ` {
			t.Errorf("%s ends with %q, want %q", json, err, want)
		}
	}
	if a, err := s.Player("ann").AskJSON("TradeRequest", `{"limit": 1, "item": {"name": "axe"}}`); err != nil || !strings.Contains(a, "x") {
		t.Errorf("%q, %v", a, err)
	}
}

func TestJSONIsAnsweredWithJSON(t *testing.T) {
	s := newShop(t, service.Config{Scripts: trader(`return {"text": request.item.name, "echo": request}`)})
	got, err := s.Player("ann").AskJSON("TradeRequest", `{"item": {"name": "axe"}}`)
	if err != nil || !strings.Contains(strings.ReplaceAll(got, " ", ""), `"text":"axe"`) || !strings.Contains(got, `"item"`) {
		t.Fatalf("answer %s, %v", got, err)
	}
}
