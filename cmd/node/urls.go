package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// URLs are the URLs of a cluster's servers. Embedded servers write them into their data directory while they run, so
// that verbs on the same machine find them.
type URLs struct {
	NATS string `json:"nats"` // with the nodes' password
	Etcd string `json:"etcd"`
}

// urlsFile is the file in a data directory that holds the URLs.
const urlsFile = "servers.json"

func urlsPath(data string) string { return filepath.Join(data, urlsFile) }

func writeURLs(path string, u URLs) error {
	b, err := json.Marshal(u)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write the servers' URLs: %w", err)
	}
	return nil
}

func noServers(data string) error {
	return fmt.Errorf("no servers run on %s: name a running one's directory with --data, or servers with --nats and --etcd", data)
}

// ReadURLs returns the URLs of the servers that run on a data directory.
func ReadURLs(data string) (u URLs, err error) {
	b, err := os.ReadFile(urlsPath(data))
	if errors.Is(err, fs.ErrNotExist) {
		return u, noServers(data)
	}
	if err != nil {
		return u, err
	}
	if err := json.Unmarshal(b, &u); err != nil {
		return u, fmt.Errorf("cannot read %s: %w: give --nats and --etcd", urlsPath(data), err)
	}
	return u, nil
}
