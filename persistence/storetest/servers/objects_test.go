package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/memblob"
	_ "gocloud.dev/blob/s3blob"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/objects"
	"github.com/ferris1/wind/persistence/storetest"
)

var _ persistence.Archives = (*objects.Store)(nil)

func openObjects(t *testing.T, url string) *objects.Store {
	t.Helper()
	s, err := objects.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// startS3 starts an S3-compatible server and returns the URL of a bucket.
func startS3(t *testing.T) string {
	t.Helper()
	program := need(t, "s3rver", "", "npm; npm install s3rver@3.7.1, and put its node_modules/.bin into PATH")
	dir, as := folder(t)
	port := freePort(t)
	endpoint := "http://127.0.0.1:" + port
	up := func() error {
		answer, err := http.Get(endpoint)
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	}
	start(t, syscall.SIGTERM, dir, as, up, program, "--address", "127.0.0.1", "--port", port, "--directory", filepath.Join(dir, "data"), "--configure-bucket", "kept", "--silent")
	t.Setenv("AWS_ACCESS_KEY_ID", "S3RVER")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "S3RVER")
	return fmt.Sprintf("s3://kept/wind/archives?region=eu-central-1&use_path_style=true&endpoint=%s&request_checksum_calculation=when_required&response_checksum_validation=when_required", endpoint)
}

func TestObjectsInFiles(t *testing.T) {
	url := "file://" + filepath.ToSlash(t.TempDir()) + "?metadata=skip&no_tmp_dir=true"
	storetest.RunArchives(t, openObjects(t, url))
	t.Run("an archive", func(t *testing.T) { archived(t, url) })
}

func TestObjectsInMemory(t *testing.T) { storetest.RunArchives(t, openObjects(t, "mem://")) }

func TestObjectsOnS3(t *testing.T) {
	url := startS3(t)
	storetest.RunArchives(t, openObjects(t, url))
	t.Run("an archive", func(t *testing.T) { archived(t, url) })
	t.Run("a server that is away", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s := openObjects(t, strings.Replace(url, "endpoint=http://127.0.0.1:", "endpoint=http://127.0.0.2:", 1)) // nobody listens there
		if _, _, err := s.Open(ctx, "dev/r-1.wind"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a server that does not answer is taken for one without the object: %v", err)
		}
	})
}

// archived writes a sealed log into a bucket, proves it there, and reads a record of it under the place that is told to people.
func archived(t *testing.T, url string) {
	ctx := testContext(t)
	s := openObjects(t, url)
	m := persistence.NewMemory()
	chain := persistence.NewChain("")
	for _, r := range []*persistence.Record{
		{Kind: persistence.KindGenesis, Epoch: 1, Genesis: &persistence.Genesis{Lineage: "l-1", Cluster: "dev", Shard: "r-1", Game: "chess", Options: []byte(`{}`), TickRate: 10, Schema: []byte(`{}`)}},
		{Kind: persistence.KindEpoch, Epoch: 1, EpochStart: &persistence.EpochStart{Node: "a"}},
		{Kind: persistence.KindTicks, Epoch: 1, Ticks: []persistence.TickRecord{{Tick: 1, Frame: []byte("e4")}}},
		{Kind: persistence.KindSeal, Epoch: 1, Seal: &persistence.Seal{Node: "a", Tick: 1, Reason: persistence.EndIdle}},
	} {
		message, err := chain.Link(r, nil)
		if err == nil {
			err = m.Log().Append(ctx, message, chain.Seq())
		}
		if err != nil {
			t.Fatal(err)
		}
		chain.Advance(r, persistence.HashOf(message.Body))
	}
	wrote, err := persistence.Archive(ctx, s, "dev/r-1.x.wind", persistence.Source{Log: m.Log()})
	if err != nil {
		t.Fatal(err)
	}
	if read, _, err := persistence.ProveArchive(ctx, s, "dev/r-1.x.wind"); err != nil || !read.Same(&wrote) {
		t.Errorf("wrote %+v, read %+v, %v", wrote, read, err)
	}
	place := s.Place("dev/r-1.x.wind")
	if key := os.Getenv("AWS_SECRET_ACCESS_KEY"); key != "" && strings.Contains(place, key) {
		t.Errorf("%s tells the secret", place)
	}
	again := openObjects(t, strings.Replace(place, "/r-1.x.wind", "", 1))
	f, err := persistence.OpenArchive(ctx, again, "r-1.x.wind")
	if err != nil {
		t.Fatal(place, err)
	}
	defer f.Close()
	if r, err := f.Log().Get(ctx, 4); err != nil || r.Header.Kind != "seal" {
		t.Error(r.Header, err)
	}
}
