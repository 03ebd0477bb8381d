package ecs

import (
	"fmt"
	"strings"
)

// Length limits of names, in bytes.
const (
	MaxName     = 40 // a game, a cluster, a shard, a type of service
	MaxLongName = 60 // an instance of a service or a bucket: a type's name plus a suffix or prefix
)

// ValidName returns an error unless s consists of 1 to most characters from a-z, 0-9 and the dash. This rule holds for
// games, clusters, shards, services, their instances and buckets: their names appear unescaped in subjects, keys and
// paths and must not collide there.
func ValidName(s string, most int) error {
	if len(s) < 1 || len(s) > most {
		return fmt.Errorf("name %.64q has %d bytes, 1 to %d are allowed", s, len(s), most)
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("name %.64q: only a-z, 0-9 and - are allowed", s)
		}
	}
	return nil
}

const ownPrefix = "wind."

// OwnName reports whether only Wind itself registers components, commands, resources and events of that name. Services
// cannot send such commands, and scripts cannot touch such components and resources.
func OwnName(name string) bool { return strings.HasPrefix(name, ownPrefix) }
