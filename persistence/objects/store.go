package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Store is a bucket, or what has a prefix in it. Its methods may be called concurrently.
type Store struct {
	bucket *blob.Bucket
	place  *url.URL
}

// Content is an open object. It is an alias of what persistence.Content is.
type Content = interface {
	io.ReaderAt
	io.Closer
}

// Open opens the bucket at a URL, with the driver of its scheme; the program must import that driver. The path of the URL is
// a prefix of all names, except for buckets in files and in memory, whose own path it is. The caller must call Close.
func Open(ctx context.Context, place string) (*Store, error) {
	u, err := url.Parse(place)
	if err != nil {
		return nil, fmt.Errorf("objects: %w", err)
	}
	driver, prefix := *u, ""
	if u.Scheme != "file" && u.Scheme != "mem" {
		prefix = strings.Trim(u.Path, "/")
		driver.Path, driver.RawPath = "", ""
	}
	bucket, err := blob.OpenBucket(ctx, driver.String())
	if err != nil {
		return nil, fmt.Errorf("objects: %w", err)
	}
	if prefix != "" {
		bucket = blob.PrefixedBucket(bucket, prefix+"/")
	}
	return &Store{bucket, u}, nil
}

// New returns the archives in a bucket, which the caller has opened; Close closes it. place is the URL that people and Open
// find it under.
func New(bucket *blob.Bucket, place *url.URL) *Store { return &Store{bucket, place} }

// Close closes the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// Place returns the URL of an object.
func (s *Store) Place(name string) string { return s.place.JoinPath(name).String() }

// Create stores what write writes as an object. If write fails or ctx ends, there is none.
func (s *Store) Create(ctx context.Context, name string, write func(io.Writer) error) error {
	writing, abort := context.WithCancel(ctx)
	defer abort()
	w, err := s.bucket.NewWriter(writing, name, &blob.WriterOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return s.wrap("create", name, err)
	}
	if err := errors.Join(write(w), ctx.Err()); err != nil {
		abort() // before Close: it then stores nothing
		_ = w.Close()
		return err
	}
	return s.wrap("create", name, w.Close())
}

// Open opens an object. Its content may be read until ctx ends.
func (s *Store) Open(ctx context.Context, name string) (c Content, sizeBytes int64, err error) {
	about, err := s.bucket.Attributes(ctx, name)
	if err != nil {
		return nil, 0, s.wrap("open", name, err)
	}
	return &object{ctx, s, name, about.Size}, about.Size, nil
}

// List returns the names that begin with prefix, in order.
func (s *Store) List(ctx context.Context, prefix string) (names []string, err error) {
	for all := s.bucket.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := all.Next(ctx)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, s.wrap("list", prefix, err)
		}
		names = append(names, o.Key)
	}
}

// Remove removes an object. One that does not exist is no error.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := s.bucket.Delete(ctx, name); gcerrors.Code(err) != gcerrors.NotFound {
		return s.wrap("remove", name, err)
	}
	return nil
}

func (s *Store) wrap(verb, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case gcerrors.Code(err) == gcerrors.NotFound:
		return fmt.Errorf("objects: cannot %s %s: %w (%w)", verb, s.Place(name), fs.ErrNotExist, err)
	}
	return fmt.Errorf("objects: cannot %s %s: %w", verb, s.Place(name), err)
}

// object is an open object.
type object struct {
	ctx       context.Context
	store     *Store
	name      string
	sizeBytes int64
}

// ReadAt implements io.ReaderAt with one request.
func (o *object) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 {
		return 0, fmt.Errorf("objects: %s: read at %d", o.store.Place(o.name), at)
	}
	n := min(int64(len(b)), max(0, o.sizeBytes-at))
	if n == 0 && len(b) == 0 {
		return 0, nil
	}
	if n == 0 {
		return 0, io.EOF
	}
	r, err := o.store.bucket.NewRangeReader(o.ctx, o.name, at, n, nil)
	if err != nil {
		return 0, o.store.wrap("read", o.name, err)
	}
	defer func() { _ = r.Close() }()
	got, err := io.ReadFull(r, b[:n])
	if err != nil {
		return got, o.store.wrap("read", o.name, err)
	}
	if got < len(b) {
		return got, io.EOF
	}
	return got, nil
}

// Close implements io.Closer.
func (o *object) Close() error { return nil }
