package jetstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Readers (clients of the port without credentials) may read the streams and change nothing. Subject permissions alone
// cannot ensure that: the server sends an answer to whatever subject the request names, and a push consumer delivers to
// whatever subject its configuration names; either can be the subject of a log. Readers therefore live in an account of
// their own that contains nothing to write to, and reach the streams' account through imports. Answers come back by the
// import. Requests that create and delete consumers go through the gate. Readers cannot use the names of the nodes'
// consumers, whose messages they could otherwise take away.
const (
	readersAccount = "readers"
	gatePrefix     = "wind-gate."       // + the API's subject, in the streams' account
	gateInbox      = "wind-gate-inbox." // + the reader's inbox, for push consumers
	inboxPrefix    = "_INBOX."
	ownConsumer    = "wind-" // prefix of the nodes' consumers, which readers cannot touch
	readerConsumer = "read-" // prefix of the consumers of Wind's own readers

	gateTimeout   = 5 * time.Second
	longestReader = 10 * time.Minute // a consumer outlives its reader by at most this
)

// Subjects to which readers may send requests.
var (
	readOnce = []string{ // at most one answer
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*",
		"$JS.API.CONSUMER.INFO.*.*", "$JS.ACK.>", "$JS.FC.>",
	}
	readMany = []string{
		"$JS.API.DIRECT.GET.>", "$JS.API.CONSUMER.MSG.NEXT.*.*",
		// Which services run: `nats micro ls`, `info` and `stats`.
		"$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>",
	}
	readGated = []string{"$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DELETE.*.*"}
)

// readerRights lists the subjects that readers may use, so that the server refuses any other with an error instead of
// silence.
func readerRights() *server.Permissions {
	ask := append(append(append([]string{"$SYS.REQ.USER.INFO"}, readOnce...), readMany...), readGated...)
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: ask},
		Subscribe: &server.SubjectPermission{Allow: []string{inboxPrefix + ">", subjectPrefix + ">"}},
	}
}

// gate checks readers' requests about consumers and forwards them.
type gate struct{ nc *nats.Conn }

// openGate creates the readers' account and then admits readers.
func openGate(ns *server.Server, d *doorman) (*gate, error) {
	fail := func(err error) (*gate, error) {
		return nil, fmt.Errorf("jetstream: cannot make the readers' account: %w", err)
	}
	readers, err := ns.RegisterAccount(readersAccount)
	if err != nil {
		return fail(err)
	}
	if err := importReads(ns.GlobalAccount(), readers); err != nil {
		return fail(err)
	}
	nc, err := nats.Connect("", nats.InProcessServer(ns), nats.UserInfo(ownUser, d.own), nats.Name("wind gate"))
	if err != nil {
		return fail(err)
	}
	g := &gate{nc: nc}
	for subject, pass := range map[string]nats.MsgHandler{"CREATE.>": g.create, "DELETE.*.*": g.remove} {
		if _, err := nc.Subscribe(gatePrefix+"$JS.API.CONSUMER."+subject, pass); err != nil {
			g.close()
			return fail(err)
		}
	}
	if err := nc.Flush(); err != nil {
		g.close()
		return fail(err)
	}
	d.readers.Store(readers)
	return g, nil
}

func (g *gate) close() { g.nc.Close() }

// importReads connects the readers' account to the streams' account.
func importReads(streams, readers *server.Account) error {
	only := []*server.Account{readers}
	ask := func(from, to string, answers server.ServiceRespType) error {
		if err := streams.AddServiceExportWithResponse(to, answers, only); err != nil {
			return err
		}
		return readers.AddServiceImport(streams, from, to)
	}
	for _, subject := range readOnce {
		if err := ask(subject, subject, server.Singleton); err != nil {
			return err
		}
	}
	for _, subject := range readMany {
		if err := ask(subject, subject, server.Streamed); err != nil {
			return err
		}
	}
	for _, subject := range readGated {
		if err := ask(subject, gatePrefix+subject, server.Streamed); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{subjectPrefix + ">": subjectPrefix + ">", gateInbox + ">": inboxPrefix + ">"} {
		if err := streams.AddStreamExport(from, only); err != nil {
			return err
		}
		if err := readers.AddMappedStreamImport(streams, from, to); err != nil {
			return err
		}
	}
	return nil
}

// create forwards a request for a consumer that ends with its reader and delivers only to that reader.
func (g *gate) create(m *nats.Msg) {
	body, err := ephemeral(m.Data)
	if err != nil {
		g.refuse(m, err.Error())
		return
	}
	g.relay(m, body)
}

// relay forwards a request to the server and returns the answer to the reader. If the server does not answer, neither
// does relay.
func (g *gate) relay(m *nats.Msg, body []byte) {
	answer, err := g.nc.Request(strings.TrimPrefix(m.Subject, gatePrefix), body, gateTimeout)
	if err == nil {
		_ = m.Respond(bytes.ReplaceAll(answer.Data, []byte(gateInbox), []byte(inboxPrefix)))
	}
}

// ephemeral rewrites a request for a consumer so that the consumer ends with its reader and delivers only to that
// reader.
func ephemeral(body []byte) ([]byte, error) {
	var r server.CreateConsumerRequest // the server's own type, so that the server decodes the same request
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("not a request for a consumer: %w", err)
	}
	c := &r.Config
	switch {
	case strings.HasPrefix(c.Name, ownConsumer) || strings.HasPrefix(c.Durable, ownConsumer):
		return nil, fmt.Errorf("consumers named %s… belong to the nodes", ownConsumer)
	case c.DeliverSubject == "":
	case !strings.HasPrefix(c.DeliverSubject, inboxPrefix):
		return nil, fmt.Errorf("a reader's consumer must deliver to the reader's inbox, not to %s", c.DeliverSubject)
	default:
		c.DeliverSubject = gateInbox + strings.TrimPrefix(c.DeliverSubject, inboxPrefix)
	}
	c.Direct, c.Sourcing, c.MemoryStorage = false, false, true
	if c.InactiveThreshold = min(c.InactiveThreshold, longestReader); c.Durable != "" && c.InactiveThreshold <= 0 {
		c.InactiveThreshold = longestReader // `nats stream view` creates durable consumers
	}
	return json.Marshal(&r)
}

// remove forwards the deletion of a reader's consumer.
func (g *gate) remove(m *nats.Msg) {
	if strings.HasPrefix(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], ownConsumer) {
		g.refuse(m, fmt.Sprintf("consumers named %s… belong to the nodes", ownConsumer))
		return
	}
	g.relay(m, nil)
}

// refuse answers as the API does.
func (g *gate) refuse(m *nats.Msg, why string) {
	var answer struct {
		Error jetstream.APIError `json:"error"`
	}
	answer.Error = jetstream.APIError{Code: http.StatusForbidden, Description: "without credentials this server is read-only: " + why}
	if b, err := json.Marshal(&answer); err == nil {
		_ = m.Respond(b)
	}
}
