package service_test

import (
	"bytes"
	"log/slog"
	"sync"
)

// captured is a log that a test can read.
type captured struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *captured) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(b)
}

func (c *captured) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

// logger writes lines of text, without quotes around values.
func (c *captured) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(unquoted{c}, nil))
}

type unquoted struct{ to *captured }

func (u unquoted) Write(b []byte) (int, error) {
	_, err := u.to.Write(bytes.ReplaceAll(b, []byte(`\"`), []byte(`"`)))
	return len(b), err
}
