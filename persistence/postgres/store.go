package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Limits of a store, in bytes.
const (
	MaxKey   = 512
	MaxValue = 1 << 20
)

// Store is one named store. Its methods may be called concurrently.
type Store struct {
	pool *pgxpool.Pool
	own  bool // Close closes the pool
	name string
}

// schemaLock is the advisory lock for creating the table: with IF NOT EXISTS alone, concurrent creation fails.
const schemaLock = 0x57494e44 // "WIND"

const schema = `
CREATE SEQUENCE IF NOT EXISTS wind_store_revision;
CREATE TABLE IF NOT EXISTS wind_store (
	store text COLLATE "C" NOT NULL,
	key bytea NOT NULL,
	value bytea NOT NULL,
	revision bigint NOT NULL,
	PRIMARY KEY (store, key)
)`

// Open connects to the database at a URL such as "postgres://user:password@host:5432/database" and opens a store in it. The
// caller must call Close.
func Open(ctx context.Context, url, name string) (*Store, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	s, err := New(ctx, pool, name)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.own = true
	return s, nil
}

// New opens a store through a pool, which the caller closes. It creates the table if it does not exist, which takes the
// right to create in the schema. The name consists of 1 to 40 of a-z, 0-9 and the dash.
func New(ctx context.Context, pool *pgxpool.Pool, name string) (*Store, error) {
	if !validName(name) {
		return nil, fmt.Errorf("postgres: store %q: a name is 1 to 40 of a-z, 0-9 and the dash", name)
	}
	if err := prepare(ctx, pool); err != nil {
		return nil, fmt.Errorf("postgres: cannot open or create the table wind_store: %w", err)
	}
	return &Store{pool: pool, name: name}, nil
}

func prepare(ctx context.Context, pool *pgxpool.Pool) error {
	var there bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass('wind_store') IS NOT NULL`).Scan(&there); err != nil || there {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, schemaLock); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
}

func validName(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 40
}

// Close closes the connections if Open made them.
func (s *Store) Close() {
	if s.own {
		s.pool.Close()
	}
}

func checkKey(key string) error {
	switch {
	case key == "" || len(key) > MaxKey:
		return fmt.Errorf("postgres: a key of %d bytes, 1 to %d are allowed", len(key), MaxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("postgres: key %q is not UTF-8", key)
	}
	return nil
}

// Get returns the value and its revision, which is 0 if the key does not exist.
func (s *Store) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	var r int64
	err = s.pool.QueryRow(ctx, `SELECT value, revision FROM wind_store WHERE store = $1 AND key = $2`, s.name, []byte(key)).Scan(&value, &r)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("postgres: cannot read key %q: %w", key, err)
	}
	return value, uint64(r), nil
}

const (
	insert = `INSERT INTO wind_store (store, key, value, revision) VALUES ($1, $2, $3, nextval('wind_store_revision'))
		ON CONFLICT DO NOTHING RETURNING revision`
	update = `UPDATE wind_store SET value = $3, revision = nextval('wind_store_revision')
		WHERE store = $1 AND key = $2 AND revision = $4 RETURNING revision`
	remove = `DELETE FROM wind_store WHERE store = $1 AND key = $2 AND revision = $3`
	list   = `SELECT key FROM wind_store WHERE store = $1 AND key >= $2 AND key < $3 ORDER BY key`
)

// Put writes value if the key still has the given revision (0: the key does not exist) and returns the new one. If another
// writer has changed the key in the meantime, ok is false and err is nil.
func (s *Store) Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error) {
	if err := checkKey(key); err != nil {
		return 0, false, err
	}
	if len(value) > MaxValue {
		return 0, false, fmt.Errorf("postgres: the value of key %q has %d bytes, more than %d", key, len(value), MaxValue)
	}
	if revision > math.MaxInt64 {
		return 0, false, ctx.Err() // no key ever has such a revision
	}
	if value == nil {
		value = []byte{} // nil is NULL
	}
	sql, args := insert, []any{s.name, []byte(key), value}
	if revision != 0 {
		sql, args = update, append(args, int64(revision))
	}
	var r int64
	err = s.pool.QueryRow(ctx, sql, args...).Scan(&r)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("postgres: cannot write key %q: %w", key, err)
	}
	return uint64(r), true, nil
}

// Delete removes the key if it still has the given revision. With revision 0, ok reports whether the key does not exist.
func (s *Store) Delete(ctx context.Context, key string, revision uint64) (ok bool, err error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	if revision > math.MaxInt64 {
		return false, ctx.Err()
	}
	if revision == 0 {
		_, now, err := s.Get(ctx, key)
		return now == 0 && err == nil, err
	}
	t, err := s.pool.Exec(ctx, remove, s.name, []byte(key), int64(revision))
	if err != nil {
		return false, fmt.Errorf("postgres: cannot delete key %q: %w", key, err)
	}
	return t.RowsAffected() == 1, nil
}

// Keys returns the keys that begin with prefix, in byte order.
func (s *Store) Keys(ctx context.Context, prefix string) ([]string, error) {
	rows, err := s.pool.Query(ctx, list, s.name, []byte(prefix), []byte(prefix+"\xff")) // no UTF-8 has that byte
	if err == nil {
		var keys []string
		if keys, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) {
			var b []byte
			err := r.Scan(&b)
			return string(b), err
		}); err == nil {
			return keys, nil
		}
	}
	return nil, fmt.Errorf("postgres: cannot list the keys with prefix %q: %w", prefix, err)
}
