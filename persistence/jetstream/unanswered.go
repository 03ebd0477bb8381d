package jetstream

import (
	"context"
	"errors"
	"net"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Unanswered reports whether err means that no server has answered yet: the server is down, cannot be reached, or its
// cluster is electing a leader. The same call may succeed later. A wrong password, a missing right or an account
// without JetStream are answers.
func Unanswered(err error) bool {
	for _, e := range []error{
		nats.ErrNoServers, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
		nats.ErrReconnectBufExceeded, nats.ErrStaleConnection, nats.ErrNoInfoReceived, nats.ErrConnectionClosed, context.DeadlineExceeded,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode == codeNoLeader || api.ErrorCode == codeIncomplete || api.ErrorCode == codeNoPeers
	}
	var op *net.OpError
	var name *net.DNSError // the name may resolve later, if names and servers come up together
	return errors.As(err, &op) || errors.As(err, &name)
}

// Codes of the JetStream errors of a cluster that is not ready yet.
const (
	codeIncomplete = 10004 // too few servers are up
	codeNoLeader   = 10008 // the servers are electing one
)

// Connected reports whether the server can be reached at the moment.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }
