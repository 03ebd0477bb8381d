package reload

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/ferris1/wind/systems/script"
)

// Entry is the store's data for the instances of one origin: gzip of this as JSON, under Key.
type Entry struct {
	Generation uint64   `json:"generation"` // the higher one is newer; 0: no entry
	Reload     string   `json:"reload"`     // id of the reload
	SHA256     string   `json:"sha256"`     // of the modules
	Modules    []Module `json:"modules"`
}

// entryOf makes an entry of modules.
func entryOf(generation uint64, reload string, modules []script.Module) Entry {
	return Entry{generation, reload, script.SHA256(modules), Pack(modules, true)}
}

// Key returns the key of an origin's entry: that of the instances of a service type that came with these modules.
func Key(serviceType string, modules []script.Module) string {
	return serviceType + "/" + script.SHA256(modules)
}

// Limits of an entry, in bytes.
const (
	MaxPacked   = 1 << 20  // compressed: a store must accept this much
	maxUnpacked = 16 << 20 // more than any set of modules takes
)

// Encode encodes the entry for the store.
func (e Entry) Encode() ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(b)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err == nil && packed.Len() > MaxPacked {
		err = fmt.Errorf("the compressed scripts have %d bytes, more than the %d that can be kept for instances that start later", packed.Len(), MaxPacked)
	}
	return packed.Bytes(), err
}

// fits returns an error if the entry is too large for the store. It does not compress a small entry to find out.
func (e Entry) fits() error {
	size := 0
	for _, m := range e.Modules {
		size += len(m.Name)
		if m.Source != nil {
			size += len(*m.Source)
		}
	}
	if size < MaxPacked/8 { // JSON makes at most six bytes of one byte
		return nil
	}
	_, err := e.Encode()
	return err
}

// ParseEntry is the inverse of Encode.
func ParseEntry(value []byte) (e Entry, err error) {
	r, err := gzip.NewReader(bytes.NewReader(value))
	if err != nil {
		return Entry{}, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxUnpacked))
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// Store keeps entries with compare-and-set. persistence/jetstream.KV implements it. Implementations must be safe for
// concurrent use.
type Store interface {
	// Get returns the value and its revision. Revision 0 means that the key does not exist.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put writes value if the key still has the given revision. If another writer came first, ok is false and err is
	// nil. After an error, the value may or may not have been written.
	Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error)
	// Watch calls f with a key's current value and with each later one, until ctx ends or the watch breaks.
	Watch(ctx context.Context, key string, f func(value []byte, revision uint64)) error
}
