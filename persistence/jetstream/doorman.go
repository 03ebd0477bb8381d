package jetstream

import (
	"crypto/subtle"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
)

// ownUser is who this process is to its own server.
const ownUser = "wind-embedded"

// doorman lets clients in: with this process's password or the nodes' into the
// account that holds the streams, without any credentials into the readers'.
// Safe for concurrent use.
type doorman struct {
	own            string // password of ownUser
	user, password string // of the nodes of other processes; "" for none
	readers        atomic.Pointer[server.Account]
}

// Check implements server.Authentication.
func (d *doorman) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	switch {
	case o.Username == ownUser:
		return same(o.Password, d.own)
	case o.Username != "" && o.Username == d.user:
		return same(o.Password, d.password)
	case o.Username != "" || o.Password != "" || o.Token != "" || o.JWT != "" || o.Nkey != "":
		return false // who shows something that is not known is not let in as somebody else
	}
	account := d.readers.Load()
	if account == nil {
		return false // the server is not quite up
	}
	c.RegisterUser(&server.User{Username: "reader", Account: account, Permissions: readerRights()})
	return true
}

func same(given, want string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}
