package room

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ferris1/wind/ecs"
)

// Spec is what was asked for. It never changes.
type Spec struct {
	Game     string            `json:"game"`
	Options  json.RawMessage   `json:"options,omitempty"`  // the game's options, a JSON object; absent: its defaults
	Seed     uint64            `json:"seed,omitempty"`     // 0: chosen when the room was asked for
	Labels   map[string]string `json:"labels,omitempty"`   // that a node must have to host it
	Idle     Duration          `json:"idle,omitempty"`     // the room ends when nobody has been there for this long; 0: never
	Limit    Duration          `json:"limit,omitempty"`    // the room ends after this long, counted in ticks; 0: never
	Keep     Keep              `json:"keep,omitempty"`     // what is kept of it once it has ended; "": its log
	Standbys int               `json:"standbys,omitempty"` // nodes that follow it, ready to take it over. No node runs any yet
	Key      string            `json:"key,omitempty"`      // chosen by whoever asks: one key makes one room
	By       string            `json:"by,omitempty"`       // the service that asked, <type>/<id>; "" for an operator
	At       time.Time         `json:"at"`                 // when it was asked for
}

// Duration is a time.Duration that reads like "10m" in JSON.
type Duration time.Duration

// String returns it as time.Duration prints it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// Bounds of a spec.
const (
	MaxKey      = 128
	MaxOptions  = 16 << 10
	MaxLabels   = 16
	MaxStandbys = 2
	MaxTime     = 365 * 24 * time.Hour // of Idle and Limit: at any tick rate their ticks can be counted
)

// Validate returns an error that names the part of the spec that nobody could host.
func (s *Spec) Validate() error {
	if err := ecs.ValidName(s.Game, ecs.MaxName); err != nil {
		return fmt.Errorf("the room's game: %w", err)
	}
	switch options, err := object(s.Options); {
	case len(s.Options) > MaxOptions:
		return fmt.Errorf("the room's options have %d bytes, at most %d are allowed", len(s.Options), MaxOptions)
	case err != nil || options == nil && len(s.Options) > 0:
		return fmt.Errorf("the room's options %.60q are not a JSON object", s.Options)
	case s.Idle < 0 || s.Limit < 0:
		return errors.New("a room's idle time and limit are not negative; 0 means never")
	case s.Idle > Duration(MaxTime) || s.Limit > Duration(MaxTime):
		return fmt.Errorf("a room's idle time %v and limit %v are at most %v; 0 means never", s.Idle, s.Limit, MaxTime)
	case s.Standbys < 0 || s.Standbys > MaxStandbys:
		return fmt.Errorf("the room's standbys are %d: want 0 to %d", s.Standbys, MaxStandbys)
	case len(s.Key) > MaxKey:
		return fmt.Errorf("the room's key has %d bytes, at most %d are allowed", len(s.Key), MaxKey)
	case !utf8.ValidString(s.Key):
		return fmt.Errorf("the room's key %q is not UTF-8", s.Key)
	case len(s.Labels) > MaxLabels:
		return fmt.Errorf("the room has %d labels, at most %d are allowed", len(s.Labels), MaxLabels)
	}
	for name, value := range s.Labels {
		if err := ValidLabel(name, value); err != nil {
			return err
		}
	}
	return s.Keep.Valid()
}

// ValidLabel returns an error unless a node or a room may have the label.
func ValidLabel(name, value string) error {
	if err := ecs.ValidName(name, ecs.MaxName); err != nil {
		return fmt.Errorf("the label's %w", err)
	}
	if value == "" || len(value) > 64 || strings.ContainsAny(value, ",= \t\n") {
		return fmt.Errorf("the label %s has the value %.70q: want 1 to 64 bytes without blanks, commas and =", name, value)
	}
	return nil
}

// ID returns the id of the room that a key makes in a cluster; without a key it is a new one.
func ID(cluster, key string) string {
	sum := sha256.Sum256([]byte(cluster + "\n" + key))
	if key == "" {
		u := uuid.New()
		copy(sum[:], u[:])
	}
	return "r-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}

// Same reports whether two specs ask for the same room, whenever and by whomever they were made.
func (s *Spec) Same(o *Spec) bool { return len(s.Differences(o)) == 0 }

// Differences names what two specs do not agree on. A seed of 0 asks for any.
func (s *Spec) Differences(o *Spec) (names []string) {
	for _, part := range []struct {
		name string
		same bool
	}{
		{"game", s.Game == o.Game},
		{"options", sameJSON(s.Options, o.Options)},
		{"seed", s.Seed == o.Seed || s.Seed == 0 || o.Seed == 0},
		{"labels", maps.Equal(s.Labels, o.Labels)},
		{"idle time", s.Idle == o.Idle},
		{"time limit", s.Limit == o.Limit},
		{"keep", s.Keep == o.Keep || s.Keep.log() && o.Keep.log()},
		{"standbys", s.Standbys == o.Standbys},
	} {
		if !part.same {
			names = append(names, part.name)
		}
	}
	return names
}

// sameJSON compares two JSON objects, whatever the order of their names. None is an empty one.
func sameJSON(a, b json.RawMessage) bool {
	x, err := object(a)
	y, other := object(b)
	return err == nil && other == nil && maps.EqualFunc(x, y, reflect.DeepEqual)
}

// object decodes a JSON object without rounding its numbers.
func object(b json.RawMessage) (o map[string]any, err error) {
	switch {
	case len(b) == 0:
		return nil, nil
	case !json.Valid(b):
		return nil, errors.New("room: not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&o)
	return o, err
}
