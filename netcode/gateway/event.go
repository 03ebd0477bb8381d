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
	eventWritten                          // answers actWrite: revision, or 0 if another writer came first; failed
	eventAnswer                           // answers actSend and actTicket: answer
	eventGone                             // an instance (serviceType, instance) has left
	eventReplaced                         // an announcement: the player's session is another since revision
	eventReconnected                      // the connection to the other gateways is back: announcements may have been lost
	eventTimer                            // an actTimer is due
	eventClosed                           // the connection is over
)

// event is one thing that happened to a session.
type event struct {
	kind        eventKind
	now         time.Duration // on a monotonic clock; steps back are ignored
	r           *request
	op          uint64
	player      string
	session     string
	serviceType string
	instance    string
	revision    uint64
	record      Record
	found       found
	failed      bool // the store refused or did not answer: a write may have been done
	err         *rpc.Error
	answer      rpc.Response
}

// found is the directory's answer about a player.
type found struct {
	alive  bool   // the instance that the player is bound to is running
	drains bool   // it accepts no new players
	picked bool   // other is set
	other  string // the directory's choice, "" if no instance accepts new players
}

// actionKind says what to do.
type actionKind uint8

// The actions of a machine, to be performed in order. Those with an op, and those that say so, need an answer.
const (
	actReply       actionKind = iota + 1 // send r.answer to the client
	actSend                              // send r to an instance; needs eventAnswer
	actIdentify                          // have the authenticator check r; needs eventIdentified
	actTicket                            // make the ticket that r asks for, for player; needs eventAnswer
	actSubscribe                         // subscribe to the pushes of player; needs eventSubscribed
	actUnsubscribe                       // unsubscribe from them
	actFind                              // op: look up instance (of serviceType); if picks, also pick one for key, preferably instance, not avoid
	actRead                              // op: read the record of player
	actWrite                             // op: write record for player if it still has revision, to be kept for life
	actTell                              // tell instance of serviceType that player's session is over
	actAnnounce                          // tell all gateways that this session is player's since revision
	actClose                             // close the connection, for reason
	actTimer                             // send an eventTimer at or after at; replaces an earlier one
	actEnd                               // nothing follows: the session is over
)

// action is one thing that a machine wants done.
type action struct {
	kind        actionKind
	reason      closing
	r           *request
	op          uint64
	player      string
	serviceType string
	instance    string
	revision    uint64
	at          time.Duration
	*details    // of actFind and actWrite; nil otherwise, because most actions are about a request and must be small
}

// details belong to an action at the directory or at the store.
type details struct {
	avoid  string
	key    string
	picks  bool
	record Record
	life   time.Duration
}

// closing is why a machine ends its connection.
type closing uint8

const (
	closeReplaced closing = iota + 1 // a newer login replaced the session
	closeFailures                    // too many failed logins
	closeNoLogin
)
