package bus

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// subjectPrefix begins every subject. It is not "wind.", because readers without a password may subscribe to that.
const subjectPrefix = "windrpc."

// queueAny is the queue group shared by a type's instances.
const queueAny = "any"

// Longest names, in bytes.
const (
	maxMessage = 128
	maxSession = 128
	maxFrom    = 128
	maxTrace   = 128
)

// ValidType returns an error unless name is valid for a type of service: 1 to 40 of a-z, 0-9 and the dash, but not
// player, players, shard or node, whose subjects have other uses.
func ValidType(name string) error {
	err := ecs.ValidName(name, ecs.MaxName)
	switch {
	case err != nil:
		return fmt.Errorf("service type: %w", err)
	case name == "player" || name == "players" || name == "shard" || name == nodeType:
		return fmt.Errorf("service type %q is taken: choose another name", name)
	}
	return nil
}

// ValidInstance returns an error unless name is valid for an instance: 1 to 60 of a-z, 0-9 and the dash.
func ValidInstance(name string) error {
	if err := ecs.ValidName(name, ecs.MaxLongName); err != nil {
		return fmt.Errorf("instance: %w", err)
	}
	return nil
}

// validToken refuses a name that Wind makes unless it can be a header's value: visible ASCII, at most max bytes.
func validToken(what, s string, max int) error {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return fmt.Errorf("%s %q contains a character other than visible ASCII", what, clip(s))
		}
	}
	if len(s) > max {
		return fmt.Errorf("%s %q has %d bytes, more than %d", what, clip(s), len(s), max)
	}
	return nil
}

// ValidMessage returns an error unless name can be the short name of a message.
func ValidMessage(name string) error {
	if name == "" || len(name) > maxMessage {
		return fmt.Errorf("message name %q must have 1 to %d characters", clip(name), maxMessage)
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '.'
		if !letter && (c < '0' || c > '9' || i == 0) {
			return fmt.Errorf("message name %q is not a Protobuf name", clip(name))
		}
	}
	return nil
}

// clip shortens a text for quoting in an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// subjects makes the subjects of one cluster.
type subjects struct{ cluster, prefix string }

func newSubjects(cluster string) (subjects, error) {
	if err := ecs.ValidName(cluster, ecs.MaxName); err != nil {
		return subjects{}, fmt.Errorf("cluster: %w", err)
	}
	return subjects{cluster, subjectPrefix + cluster + "."}, nil
}

func (s subjects) any(kind string) string             { return s.prefix + kind + ".any" }
func (s subjects) id(kind, instance string) string    { return s.prefix + kind + ".id." + instance }
func (s subjects) all(kind string) string             { return s.prefix + kind + ".all" }
func (s subjects) admin(kind, instance string) string { return s.prefix + kind + ".admin." + instance }
func (s subjects) shard(shard string) string          { return s.prefix + "shard.id." + shard }
func (s subjects) players() string                    { return s.prefix + "players" }

func (s subjects) player(name string) string {
	return s.prefix + "player." + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// playerOf is the inverse of player and players. The name "" means all players.
func (s subjects) playerOf(subject string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(subject, s.prefix+"player")
	if !ok {
		return "", false
	}
	if rest == "s" {
		return "", true
	}
	if rest == "" || rest[0] != '.' {
		return "", false
	}
	b, err := base64.RawURLEncoding.DecodeString(rest[1:])
	return string(b), err == nil && len(b) > 0
}
