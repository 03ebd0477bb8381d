package jetstream

import (
	"testing"

	"github.com/ferris1/wind/persistence/wait/waittest"
)

// proxy sits between a client and a server and can hold back messages in either direction.
type proxy struct {
	*waittest.Proxy
	addr string
}

const (
	toServer = waittest.ToServer
	toClient = waittest.ToClient
)

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	p := waittest.NewProxy(t, server)
	return &proxy{p, p.Addr()}
}

func (p *proxy) hold(way int, held bool) { p.Hold(way, held) }
