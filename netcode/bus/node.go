package bus

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// nodeType stands in place of a service's type in the subject of a node's operations.
const nodeType = "node"

// nodeName is a node's id as a subject can hold it.
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

// ServeNode has a process stopped when an operator asks for it with StopNode. The operator has the answer before stop is
// called. The function that it returns ends that.
func (b *Bus) ServeNode(id string, stop func()) (func() error, error) {
	sub, err := b.nc.Subscribe(b.subjects.admin(nodeType, nodeName(id)), func(m *nats.Msg) {
		var head struct{ Op, Node string }
		answer := adminHead{OK: true, Instance: id}
		switch err := json.Unmarshal(m.Data, &head); {
		case err != nil || head.Op != "stop":
			answer.OK, answer.Code, answer.Error = false, rpc.Unimplemented, `a node has the operation {"op": "stop"} alone`
		case head.Node != id: // another id is the same name
			answer.OK, answer.Code, answer.Error = false, rpc.NotFound, "this is node "+id
		}
		body, _ := json.Marshal(answer) // it has nothing that could fail
		if err := m.Respond(body); err != nil {
			b.log.Warn("an operator's request could not be answered", "node", id, "error", err)
		}
		if answer.OK {
			go stop() // NATS waits for this function
		}
	})
	if err != nil {
		return nil, err
	}
	return sub.Unsubscribe, nil
}

// StopNode asks a process to end as SIGTERM does: what runs is finished, and the shard handed over. It returns when the
// process has heard it. A node that does not is an *rpc.Error.
func (b *Bus) StopNode(ctx context.Context, id string) error {
	body, err := json.Marshal(map[string]string{"op": "stop", "node": id})
	if err != nil {
		return err
	}
	_, err = b.operate(ctx, nodeType, nodeName(id), "stop", body)
	return err
}
