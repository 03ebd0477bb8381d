package gateway

import (
	"encoding/json"
	"testing"
)

func FuzzParseCall(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("1234567"))
	f.Add([]byte("12345678"))
	f.Add([]byte("\x01\x00\x00\x00\xF4\x01\x00\x00payload"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, message, ok := parseCall(b)
		if ok != (len(b) >= 8) || ok && string(message) != string(b[8:]) {
			t.Errorf("%q: %q, %v", b, message, ok)
		}
	})
}

func FuzzParseText(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `{"message":"SpeakOnWorldRequest","call":7,"timeout_ms":500,"payload":{"content":"x"}}`, `{"payload":null}`, `{"payload": {} }`,
		`{"payload":[{}]}`, `{"call":1e9,"payload":{}}`, `[[[[`, `{"payload":{"a":{"b":[1,2,{}]}}}`, "{\"message\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseText(b)
		if err != nil {
			return
		}
		if !json.Valid(m.Payload) || m.Payload[0] != '{' {
			t.Errorf("%q has the payload %q", b, m.Payload)
		}
	})
}

func FuzzLoginField(f *testing.F) {
	f.Add([]byte("\x0a\x03ann"))
	f.Add([]byte("\x08\x01\x0a\x01x\x12\x02yz"))
	f.Add([]byte("\x0b\x0c\x0a\x01x"))
	f.Add([]byte("\x0a\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := wireText(b, 1); !ok && s != "" {
			t.Errorf("%q: %q", b, s)
		}
		l := Login{Payload: b}
		_, _ = l.jsonText("player_id")
	})
}
