package ecs

import "fmt"

// How long names are at most, in bytes.
const (
	MaxName     = 40 // of a game, a cluster, a shard, a type of service
	MaxLongName = 60 // of an instance of a service and of a bucket: that of a type with something beside it
)

// ValidName says why s is no name of 1 to most of a-z, 0-9 and the dash. This is the rule for games, clusters, shards,
// services, their instances and buckets: such a name stands in subjects, keys and paths as it is, and two never share one.
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
