package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// ticket answers a TicketRequest.
func (s *session) ticket(r *request, player string) rpc.Response {
	m, err := s.g.ticket(r, player)
	if err != nil {
		return rpc.Response{Err: err}
	}
	return rpc.Response{Message: "TicketResponse", Payload: encode(rpc.Protobuf, m)}
}

func (g *Gateway) ticket(r *request, player string) (*wirepb.TicketResponse, *rpc.Error) {
	c := g.cfg.Tickets
	if len(c.Key) == 0 {
		return nil, rpc.Errorf(rpc.Unimplemented, "this gateway gives no tickets")
	}
	var m wirepb.TicketRequest
	var err error
	if r.format == rpc.JSON {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(r.req.Payload, &m)
	} else {
		err = proto.Unmarshal(r.req.Payload, &m)
	}
	if err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "TicketRequest is malformed")
	}
	ctx, cancel := context.WithTimeout(g.ctx, r.deadline-g.now())
	defer cancel()
	udp, tcp, err := c.Shards.Locate(ctx, m.Shard)
	if err != nil {
		return nil, located(err, m.Shard)
	}
	now := time.Now()
	sealed, err := netcode.SealTicket(c.Key, netcode.Ticket{Identity: player, Shard: m.Shard, Issued: now, Expires: now.Add(c.Life), UDP: udp, TCP: tcp})
	if err != nil {
		return nil, rpc.Errorf(rpc.FailedPrecondition, "no ticket for this player and shard: %v", err)
	}
	return &wirepb.TicketResponse{Ticket: sealed, Shard: m.Shard, Udp: udp, Tcp: tcp, Seconds: uint32(c.Life / time.Second)}, nil
}

// located converts the error of Locate for the client.
func located(err error, shard string) *rpc.Error {
	var told *rpc.Error
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, context.DeadlineExceeded):
		return rpc.Errorf(rpc.DeadlineExceeded, "the shard was not found in time")
	}
	return rpc.Errorf(rpc.Unavailable, "%s", fmt.Sprintf("shard %q: %v", clip(shard), err))
}
