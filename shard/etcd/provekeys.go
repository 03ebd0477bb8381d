package etcd

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/lease/leasepb"
	"google.golang.org/protobuf/proto"
)

// dbState is a db's own record of its state.
type dbState struct {
	applied uint64 // last applied entry of the write-ahead log
}

// Format of etcd's db: a revision is 8 bytes of main, "_", 8 bytes of sub, and a "t" if the key was deleted.
const (
	revisionBytes = 17
	deletedMark   = 't'
)

// proveDB proves a member's db: its pages, and those entries on which a server would panic.
func proveDB(path string) (s dbState, err error) {
	err = walkDB(path, func(bucket string, key, value []byte) error {
		if err := s.take(bucket, key, value); err != nil {
			return fmt.Errorf("%s %q: %w", bucket, key, err)
		}
		return nil
	})
	return s, err
}

func (s *dbState) take(bucket string, key, value []byte) error {
	switch bucket {
	case "key":
		return proveKey(key, value)
	case "lease":
		var l leasepb.Lease
		if len(key) != 8 {
			return errors.New("it is not a lease's key")
		}
		if err := proto.Unmarshal(value, &l); err != nil {
			return err
		}
		if uint64(l.GetID()) != binary.BigEndian.Uint64(key) || l.GetTTL() <= 0 {
			return fmt.Errorf("it contains lease %x of %d s", l.GetID(), l.GetTTL())
		}
	case "members":
		if !json.Valid(value) {
			return errors.New("it is not JSON")
		}
	case "meta":
		return s.meta(string(key), value)
	}
	return nil
}

func (s *dbState) meta(key string, value []byte) error {
	switch key {
	case "consistent_index":
		if len(value) != 8 {
			return fmt.Errorf("%d bytes, not 8", len(value))
		}
		s.applied = binary.BigEndian.Uint64(value)
	case "term":
		if len(value) != 8 {
			return fmt.Errorf("%d bytes, not 8", len(value))
		}
	case "scheduledCompactRev", "finishedCompactRev":
		_, _, err := revision(value)
		return err
	case "confState":
		if !json.Valid(value) {
			return errors.New("it is not JSON")
		}
	}
	return nil
}

// proveKey compares a revision's key with its value.
func proveKey(key, value []byte) error {
	at, deleted, err := revision(key)
	if err != nil {
		return err
	}
	var kv mvccpb.KeyValue
	if err := proto.Unmarshal(value, &kv); err != nil {
		return err
	}
	switch {
	case len(kv.GetKey()) == 0:
		return errors.New("it has no key")
	case deleted:
		return nil
	case kv.GetModRevision() != at || kv.GetCreateRevision() <= 0 || kv.GetCreateRevision() > at || kv.GetVersion() <= 0:
		return fmt.Errorf("%s has revision %d, made at %d, version %d", strings.ToValidUTF8(string(kv.GetKey()), "?"), kv.GetModRevision(), kv.GetCreateRevision(), kv.GetVersion())
	}
	return nil
}

func revision(b []byte) (at int64, deleted bool, err error) {
	deleted = len(b) == revisionBytes+1 && b[revisionBytes] == deletedMark
	if len(b) != revisionBytes && !deleted || b[8] != '_' {
		return 0, false, errors.New("it is not a revision")
	}
	main, sub := int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[9:]))
	if main < 0 || sub < 0 {
		return 0, false, errors.New("it is a negative revision")
	}
	return main, deleted, nil
}
