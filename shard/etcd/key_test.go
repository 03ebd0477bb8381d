package etcd

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

func TestEverybodyGetsTheSameKey(t *testing.T) {
	client := cluster(t)
	keys := make([][]byte, 8)
	var group sync.WaitGroup
	for i := range keys {
		group.Go(func() {
			key, err := SharedKey(t.Context(), client, "test", "tickets")
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	group.Wait()
	for _, k := range keys {
		if len(k) != sharedKeyBytes || !bytes.Equal(k, keys[0]) {
			t.Fatalf("keys %x", keys)
		}
	}
	if other, err := SharedKey(t.Context(), client, "test", "other"); err != nil || bytes.Equal(other, keys[0]) {
		t.Fatalf("another key is %x, %v", other, err)
	}
	if _, err := client.Put(t.Context(), "/wind/test/keys/bad", "{}"); err != nil {
		t.Fatal(err)
	}
	if _, err := SharedKey(t.Context(), client, "test", "bad"); err == nil || !strings.Contains(err.Error(), "/wind/test/keys/bad") {
		t.Fatalf("an invalid key: %v", err)
	}
}
