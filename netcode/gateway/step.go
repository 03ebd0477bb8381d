package gateway

import (
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// eventKind says what happened.
type eventKind uint8

// The events of a machine. Those that answer an action carry its op or its request.
const (
	eventRequest     eventKind = iota + 1 // r: a client's message, routed
	eventIdentified                       // answers actIdentify: player, err
	eventSubscribed                       // answers actSubscribe: err
	eventFound                            // answers actFind: found
	eventRead                             // answers actRead: record, revision; failed
	eventWritten                          // answers actWrite: revision unless somebody else was first (0); failed
	eventAnswer                           // answers actSend and actTicket: answer
	eventGone                             // an instance (serviceType, instance) has left
	eventReplaced                         // an announcement: the player's session is another's, since revision
	eventReconnected                      // the way to the other gateways was cut, and is back: announcements may be lost
	eventTimer                            // the time of an actTimer has come
	eventClosed                           // the connection is over
)

// event is one thing that happened to a session.
type event struct {
	kind        eventKind
	now         time.Duration // a monotonic clock; what steps back is ignored
	r           *request
	op          uint64
	player      string
	session     string
	serviceType string
	instance    string
	revision    uint64
	record      Record
	found       found
	failed      bool // the store did not answer, or refused: what was written may be there or not
	err         *rpc.Error
	answer      rpc.Response
}

// found is what the directory knows for a player.
type found struct {
	alive  bool   // the instance that the player is bound to is there
	drains bool   // it takes nobody new
	full   bool   // it has no room
	picked bool   // other says something
	other  string // the directory's choice, "" when nobody takes anybody
}

// actionKind says what is to be done.
type actionKind uint8

// The actions of a machine, to be done in their order. Those with an op, and those that say so, want an answer.
const (
	actReply       actionKind = iota + 1 // r.answer goes to the client
	actSend                              // r goes to an instance; wants eventAnswer
	actIdentify                          // the authenticator looks at r; wants eventIdentified
	actTicket                            // r asks for a connect ticket for player; wants eventAnswer
	actSubscribe                         // to the pushes of player; wants eventSubscribed
	actUnsubscribe                       // from those of player
	actFind                              // op: how does instance (of serviceType) stand; if picks, another one, not avoid, for key
	actRead                              // op: the record of player
	actWrite                             // op: record for player, if it still has revision, kept for life
	actTell                              // instance of serviceType that player's session is over
	actAnnounce                          // to all gateways: since revision this session is player's
	actClose                             // the connection, with reason and text
	actTimer                             // an eventTimer at or after at; replaces an earlier one
	actEnd                               // nothing follows: the session is over and has said so
)

// action is one thing that a machine wants done.
type action struct {
	kind        actionKind
	r           *request
	op          uint64
	player      string
	serviceType string
	instance    string
	avoid       string
	key         string
	picks       bool
	record      Record
	revision    uint64
	life        time.Duration
	at          time.Duration
	reason      closing
}

// closing is why a machine ends its connection.
type closing uint8

const (
	closeReplaced closing = iota + 1 // by a newer login
	closeFailures                    // too many failed logins
	closeNoLogin
)
