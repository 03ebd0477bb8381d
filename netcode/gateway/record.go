package gateway

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// Record is what the gateways of a cluster share about one player: which session is the player's, and which instance of
// each type of service works for it. Gateways change it only by compare-and-set, so its revisions order the logins.
type Record struct {
	Session string            `json:"session,omitempty"` // the player's session, "<gateway>/…"; "" before the first login
	Left    bool              `json:"left,omitempty"`    // the session is over; the instances are kept for a short while
	At      map[string]string `json:"at,omitempty"`      // type of service → instance
}

// recordPrefix begins the keys of records.
const recordPrefix = "player/"

// RecordKey returns the key of a player's record.
func RecordKey(player string) string {
	return recordPrefix + base64.RawURLEncoding.EncodeToString([]byte(player))
}

// recordPlayer is the inverse of RecordKey.
func recordPlayer(key string) (player string, ok bool) {
	name, ok := strings.CutPrefix(key, recordPrefix)
	b, err := base64.RawURLEncoding.DecodeString(name)
	return string(b), ok && err == nil
}

// ParseRecord parses a record. Without bytes it returns an empty record.
func ParseRecord(b []byte) (r Record, err error) {
	if len(b) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("gateway: malformed player record: %w", err)
	}
	return r, nil
}

func (r Record) bytes() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // a Record has only strings and a bool
	}
	return b
}

// with returns r with one instance changed.
func (r Record) with(kind, instance string) Record {
	at := maps.Clone(r.At)
	if at == nil {
		at = map[string]string{}
	}
	at[kind] = instance
	r.At = at
	return r
}

// gatewayOf returns the gateway's id from a session's id.
func gatewayOf(session string) string {
	id, _, _ := strings.Cut(session, "/")
	return id
}
