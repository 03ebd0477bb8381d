package etcd

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Unanswered reports whether err means that no server has answered yet: no endpoint can be reached, or the cluster has
// no leader at the moment. The same call may succeed later. A wrong password and a missing right are answers.
func Unanswered(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var known rpctypes.EtcdError // the form in which etcd's client returns a status
	if errors.As(err, &known) {
		return passing(known.Code())
	}
	var told interface{ GRPCStatus() *status.Status }
	return errors.As(err, &told) && passing(told.GRPCStatus().Code())
}

func passing(c codes.Code) bool { return c == codes.Unavailable || c == codes.DeadlineExceeded }
