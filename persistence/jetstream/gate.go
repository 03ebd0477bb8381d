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

// Readers (clients of the port without credentials) look at the streams and
// change nothing. Rights to subjects alone cannot give that: the server sends
// an answer wherever the request says, and a push consumer delivers wherever
// its configuration says, and either place can be the subject of a log. So
// readers live in an account of their own, in which there is nothing to write
// to, and reach that of the streams through imports: answers come back by the
// import, and what makes and removes consumers goes through the gate. The names
// of the nodes' consumers, whose messages a reader could take away, are not to
// be had.
const (
	readersAccount = "readers"
	gatePrefix     = "wind-gate."       // + the API's subject, in the streams' account
	gateInbox      = "wind-gate-inbox." // + the reader's, for push consumers
	inboxPrefix    = "_INBOX."
	ownConsumer    = "wind-" // begins the names of consumers that readers leave alone
	readerConsumer = "read-" // begins the names of those of our own readers

	gateTimeout   = 5 * time.Second
	longestReader = 10 * time.Minute // that a consumer outlives its reader
)

// Subjects that readers may ask.
var (
	readOnce = []string{ // one answer, or none
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

// readerRights name what readers may ask, so that everything else is refused
// with an error rather than with silence.
func readerRights() *server.Permissions {
	ask := append(append(append([]string{"$SYS.REQ.USER.INFO"}, readOnce...), readMany...), readGated...)
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: ask},
		Subscribe: &server.SubjectPermission{Allow: []string{inboxPrefix + ">", subjectPrefix + ">"}},
	}
}

// gate looks at what readers ask about consumers and passes it on.
type gate struct{ nc *nats.Conn }

// openGate makes the readers' account, and then lets them in.
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

// importReads connects the readers' account with that of the streams.
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

// create passes on consumers that end with their reader and deliver to him.
func (g *gate) create(m *nats.Msg) {
	body, err := ephemeral(m.Data)
	if err != nil {
		g.refuse(m, err.Error())
		return
	}
	g.relay(m, body)
}

// relay asks the server and answers the reader. A reader whose question gets
// no answer hears nothing, as he would from the server.
func (g *gate) relay(m *nats.Msg, body []byte) {
	answer, err := g.nc.Request(strings.TrimPrefix(m.Subject, gatePrefix), body, gateTimeout)
	if err == nil {
		_ = m.Respond(bytes.ReplaceAll(answer.Data, []byte(gateInbox), []byte(inboxPrefix)))
	}
}

// ephemeral returns the request for a consumer as the server may have it: one
// that ends with its reader and delivers to him alone.
func ephemeral(body []byte) ([]byte, error) {
	var r server.CreateConsumerRequest // the server's own, so that it cannot read another one out of the same bytes
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("not a request for a consumer: %w", err)
	}
	c := &r.Config
	switch {
	case strings.HasPrefix(c.Name, ownConsumer) || strings.HasPrefix(c.Durable, ownConsumer):
		return nil, fmt.Errorf("consumers named %s… are those of the nodes", ownConsumer)
	case c.DeliverSubject == "":
	case !strings.HasPrefix(c.DeliverSubject, inboxPrefix):
		return nil, fmt.Errorf("a reader's consumer delivers to his inbox, not to %s", c.DeliverSubject)
	default:
		c.DeliverSubject = gateInbox + strings.TrimPrefix(c.DeliverSubject, inboxPrefix)
	}
	c.Direct, c.Sourcing, c.MemoryStorage = false, false, true
	if c.InactiveThreshold = min(c.InactiveThreshold, longestReader); c.Durable != "" && c.InactiveThreshold <= 0 {
		c.InactiveThreshold = longestReader // `nats stream view` makes durable ones
	}
	return json.Marshal(&r)
}

// remove passes on the end of a reader's consumer.
func (g *gate) remove(m *nats.Msg) {
	if strings.HasPrefix(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], ownConsumer) {
		g.refuse(m, fmt.Sprintf("consumers named %s… are those of the nodes", ownConsumer))
		return
	}
	g.relay(m, nil)
}

// refuse answers like the API does.
func (g *gate) refuse(m *nats.Msg, why string) {
	var answer struct {
		Error jetstream.APIError `json:"error"`
	}
	answer.Error = jetstream.APIError{Code: http.StatusForbidden, Description: "without credentials this server is read-only: " + why}
	if b, err := json.Marshal(&answer); err == nil {
		_ = m.Respond(b)
	}
}
