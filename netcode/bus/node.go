package bus

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// nodeType takes the place of a service's type in the subject of a node's operations.
const nodeType = "node"

// nodeName turns a node's id into a token for a subject.
func nodeName(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, id)
}

// ServeNode calls stop when an operator asks for it with StopNode. It answers the operator before it calls stop. The
// returned function ends the subscription.
func (b *Bus) ServeNode(id string, stop func()) (func() error, error) {
	sub, err := b.nc.Subscribe(b.subjects.admin(nodeType, nodeName(id)), func(m *nats.Msg) {
		var head struct{ Op, Node string }
		answer := adminHead{OK: true, Instance: id}
		switch err := json.Unmarshal(m.Data, &head); {
		case err != nil || head.Op != "stop":
			answer.OK, answer.Code, answer.Error = false, rpc.Unimplemented, `a node has only the operation {"op": "stop"}`
		case head.Node != id: // two ids can map to the same name
			answer.OK, answer.Code, answer.Error = false, rpc.NotFound, "this is node "+id
		}
		body, _ := json.Marshal(answer) // adminHead always marshals
		if err := m.Respond(body); err != nil {
			b.log.Warn("cannot answer an operator's request", "node", id, "error", err)
		}
		if answer.OK {
			go stop() // NATS waits for this handler
		}
	})
	if err != nil {
		return nil, err
	}
	return sub.Unsubscribe, nil
}

// StopNode asks a process to end as it would on SIGTERM: it finishes running work and hands its shard over. StopNode
// returns once the process has acknowledged. If it does not, the error is an *rpc.Error.
func (b *Bus) StopNode(ctx context.Context, id string) error {
	body, err := json.Marshal(map[string]string{"op": "stop", "node": id})
	if err != nil {
		return err
	}
	_, err = b.operate(ctx, nodeType, nodeName(id), "stop", body)
	return err
}
