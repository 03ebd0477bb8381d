package jetstream

import (
	"crypto/subtle"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
)

// ownUser is the user name of this process on its own server.
const ownUser = "wind-embedded"

// doorman authenticates clients. A client with this process's password or the nodes' password gets into the account
// with the streams, a client without credentials into the readers' account. Safe for concurrent use.
type doorman struct {
	own            string // password of ownUser
	user, password string // for nodes in other processes; "": not allowed
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
		return false // wrong credentials do not count as none
	}
	account := d.readers.Load()
	if account == nil {
		return false // the server is still starting
	}
	c.RegisterUser(&server.User{Username: "reader", Account: account, Permissions: readerRights()})
	return true
}

func same(given, want string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}
