package jetstream

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/persistence"
)

// TestOnlyOneAnswerMeansCommitted tries the answers that a server may give to the record after record 41.
func TestOnlyOneAnswerMeansCommitted(t *testing.T) {
	p := &fenced{lane: &lane{name: "WIND_dev_main"}, msg: nats.Msg{Subject: "wind.dev.main.x.log"}}
	other := errors.New("something else")
	for _, c := range []struct {
		answer, status string
		want           error // nil: committed; other: none of the sentinels
	}{
		{answer: `{"stream":"WIND_dev_main","seq":42}`},
		{answer: `{"stream":"WIND_dev_main","seq":42,"duplicate":true}`, want: persistence.ErrConflict},
		{answer: `{"stream":"WIND_dev_main","seq":43}`, want: persistence.ErrConflict},
		{answer: `{"stream":"WIND_dev_main","seq":1}`, want: persistence.ErrConflict},
		{answer: `{"stream":"WIND_dev_main","domain":"hub","seq":42}`},
		{answer: `{"stream":"WIND_dev_main","seq":18446744073709551616}`, want: persistence.ErrAmbiguous}, // beyond 64 bits
		{answer: `{"stream":"WIND_dev_main","seq":42`, want: persistence.ErrAmbiguous},
		{answer: `{"stream":"WIND_dev_main","seq":}`, want: persistence.ErrAmbiguous},
		{answer: `{"stream":"WIND_dev_main","seq":-42}`, want: persistence.ErrAmbiguous},
		{answer: `{"stream":"WIND_dev_main","seq":42}}`, want: persistence.ErrAmbiguous},
		{answer: `{"stream":"WIND_dev_main2","seq":42}`, want: persistence.ErrAmbiguous},
		{answer: `{"stream":"WIND_dev_other","seq":42}`, want: persistence.ErrAmbiguous},
		{answer: `{"seq":42}`, want: persistence.ErrAmbiguous},
		{answer: ``, want: persistence.ErrAmbiguous},
		{answer: `+OK`, want: persistence.ErrAmbiguous},
		{status: "503", want: persistence.ErrAmbiguous},
		{answer: `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 44"}}`, want: persistence.ErrConflict},
		{answer: `{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}`, want: persistence.ErrConflict},
		{answer: `{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`, want: persistence.ErrFull},
		{answer: `{"error":{"code":503,"err_code":10023,"description":"insufficient resources"}}`, want: persistence.ErrFull},
		{answer: `{"error":{"code":503,"err_code":10008,"description":"temporarily unavailable"}}`, want: persistence.ErrAmbiguous},
		{answer: `{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}`, want: other},
	} {
		m := &nats.Msg{Data: []byte(c.answer), Header: nats.Header{}}
		if c.status != "" {
			m.Header.Set("Status", c.status)
		}
		_, err := p.outcome(m, spot{num: 41, seq: 41})
		got := err
		for _, sentinel := range []error{persistence.ErrConflict, persistence.ErrAmbiguous, persistence.ErrFull} {
			if errors.Is(err, sentinel) {
				if got != err {
					t.Errorf("%s%s is two things: %v", c.answer, c.status, err)
				}
				got = sentinel
			}
		}
		if got == err && err != nil {
			got = other
		}
		if got != c.want {
			t.Errorf("%s%s: %v, not %v", c.answer, c.status, err, c.want)
		}
	}
}
