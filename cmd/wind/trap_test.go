package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ferris1/wind/persistence"
)

// trap stands between a process and its servers: etcd, NATS and the folder of archives. It sees each call by which the process
// changes a room, and kills the process (kill -9) at the first one with a name: before the server hears of it, or once the server has
// answered and before the process can hear that. From then on it lets nothing through.
type trap struct {
	at    string // the name of the call; "": it only looks on
	after bool   // it kills after the server's answer
	other bool   // it kills another process than the one that calls, and lets the call through

	victim chan *process // has the process, once it runs
	sprung chan struct{}

	mu    sync.Mutex
	shut  bool     // it lets nothing through
	calls []string // all that it saw
}

func newTrap(at string, after bool) *trap {
	return &trap{at: at, after: after, victim: make(chan *process, 1), sprung: make(chan struct{})}
}

// verdict says what happens to a call.
type verdict int

const (
	pass   verdict = iota
	hold           // it never reaches the server
	answer         // it does, and the process is killed when the answer comes
)

// comes is told of a call, by its name, "" if it changes no room, and says what is to happen to it.
func (x *trap) comes(name string) verdict {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.shut {
		return hold
	}
	first := !slices.Contains(x.calls, name)
	if name != "" {
		x.calls = append(x.calls, name)
	}
	switch {
	case name == "" || name != x.at || !first:
		return pass
	case x.after:
		return answer
	}
	x.shut = !x.other
	go x.spring()
	if x.other {
		return pass
	}
	return hold
}

// answered is told that a call for which comes returned answer has its answer.
func (x *trap) answered() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shut = true
	go x.spring()
}

// spring kills the process.
func (x *trap) spring() {
	p := <-x.victim
	p.signal(syscall.SIGKILL)
	<-p.done
	close(x.sprung)
}

// seen returns the names of the calls so far, each once, in the order of their first.
func (x *trap) seen() (names []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, name := range x.calls {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// listen serves connections until the test ends.
func listen(t *testing.T, serve func(net.Listener) error, stop func()) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = serve(l) // it ends with stop
	}()
	t.Cleanup(func() {
		_ = l.Close()
		stop()
		<-done
	})
	return l.Addr().String()
}

// etcd returns the URL of a proxy before an etcd server. It passes gRPC's messages on unread, but for those that write.
func (x *trap) etcd(t *testing.T, server string) string {
	t.Helper()
	behind, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(server, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(unread{}), grpc.UnknownServiceHandler(func(_ any, in grpc.ServerStream) error {
		return x.relay(behind, in)
	}))
	return "http://" + listen(t, s.Serve, func() { s.Stop(); _ = behind.Close() })
}

// relay relays one call.
func (x *trap) relay(behind *grpc.ClientConn, in grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(in)
	about, _ := metadata.FromIncomingContext(in.Context())
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(in.Context(), about))
	defer cancel()
	out, err := behind.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, grpc.ForceCodecV2(unread{}))
	if err != nil {
		return err
	}
	var kills atomic.Bool
	go func() {
		for {
			var m []byte
			if in.RecvMsg(&m) != nil {
				_ = out.CloseSend() // the end is what the other direction sees
				return
			}
			switch x.comes(etcdCall(method, m)) {
			case hold:
				return
			case answer:
				kills.Store(true)
			}
			if out.SendMsg(&m) != nil {
				return
			}
		}
	}()
	for {
		var m []byte
		if err := out.RecvMsg(&m); errors.Is(err, io.EOF) {
			in.SetTrailer(out.Trailer())
			return nil
		} else if err != nil {
			return err
		}
		if kills.Load() {
			x.answered()
			<-ctx.Done()
			return ctx.Err()
		}
		if err := in.SendMsg(&m); err != nil {
			return err
		}
	}
}

// unread is a codec of gRPC that leaves messages as they are.
type unread struct{}

func (unread) Name() string { return "proto" }

func (unread) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (unread) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// fields returns the fields of a protobuf message that are bytes or messages, by number.
func fields(m []byte) map[protowire.Number][][]byte {
	all := map[protowire.Number][][]byte{}
	for len(m) > 0 {
		number, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return nil
		}
		if m = m[n:]; kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(m)
			if n < 0 {
				return nil
			}
			all[number], m = append(all[number], value), m[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, m); n < 0 {
			return nil
		}
		m = m[n:]
	}
	return all
}

// etcdCall names what a request to etcd writes about a shard: "put owner, epoch".
func etcdCall(method string, m []byte) string {
	const put, remove = 2, 3 // of a RequestOp
	var ops []map[protowire.Number][][]byte
	switch method {
	case "/etcdserverpb.KV/Put":
		ops = append(ops, map[protowire.Number][][]byte{put: {m}})
	case "/etcdserverpb.KV/DeleteRange":
		ops = append(ops, map[protowire.Number][][]byte{remove: {m}})
	case "/etcdserverpb.KV/Txn":
		for _, op := range fields(m)[2] { // what it does if its compares hold
			ops = append(ops, fields(op))
		}
	}
	var did []string
	for _, op := range ops {
		for kind, verb := range map[protowire.Number]string{put: "put ", remove: "remove "} {
			if len(op[kind]) == 0 {
				continue
			}
			f := fields(op[kind][0])
			if len(f[1]) == 0 {
				continue
			}
			_, key, _ := strings.Cut(string(f[1][0]), "/shards/")
			if _, key, _ = strings.Cut(key, "/"); key == "" {
				continue
			}
			if key == "state" && kind == put {
				_, phase, _ := strings.Cut(string(f[2][0]), `"phase":"`)
				phase, _, _ = strings.Cut(phase, `"`)
				if key += " " + phase; bytes.Contains(f[2][0], []byte(`"swept":true`)) {
					key += " swept"
				}
			}
			did = append(did, verb+key)
		}
	}
	return strings.Join(did, ", ")
}

// nats returns the URL of a proxy before a NATS server, which reads the client's protocol.
func (x *trap) nats(t *testing.T, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	behind := u.Host
	serve := func(l net.Listener) error {
		for {
			client, err := l.Accept()
			if err != nil {
				group.Wait()
				return err
			}
			server, err := net.Dial("tcp", behind)
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, server)
			mu.Unlock()
			c := &natsLink{trap: x}
			group.Go(func() { c.up(client, server) })
			group.Go(func() { c.down(server, client) })
		}
	}
	u.Host = listen(t, serve, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	})
	return u.String()
}

// natsLink is a connection of a client.
type natsLink struct {
	trap  *trap
	reply atomic.Pointer[string] // the subject of the answer that kills
}

// up passes on what the client sends.
func (c *natsLink) up(client io.Reader, server io.WriteCloser) {
	defer server.Close()
	for r := bufio.NewReader(client); ; {
		message, words, body, err := natsMessage(r, "PUB", "HPUB")
		if err != nil {
			return
		}
		if len(words) > 2 {
			switch c.trap.comes(natsCall(words[1], body)) {
			case hold:
				_, _ = io.Copy(io.Discard, r) // until the process is gone
				return
			case answer:
				c.reply.Store(&words[2])
			}
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

// down passes on what the server sends.
func (c *natsLink) down(server io.Reader, client io.WriteCloser) {
	defer client.Close()
	for r := bufio.NewReader(server); ; {
		message, words, _, err := natsMessage(r, "MSG", "HMSG")
		if err != nil {
			return
		}
		if reply := c.reply.Load(); reply != nil && len(words) > 1 && words[1] == *reply {
			c.trap.answered()
			_, _ = io.Copy(io.Discard, r)
			return
		}
		if _, err := client.Write(message); err != nil {
			return
		}
	}
}

// natsMessage reads one message of NATS's protocol. If it is of one of two kinds, it has a body, and words are those of its
// first line.
func natsMessage(r *bufio.Reader, plain, headed string) (message []byte, words []string, body []byte, err error) {
	if message, err = r.ReadBytes('\n'); err != nil {
		return nil, nil, nil, err
	}
	words = strings.Fields(string(message))
	if len(words) < 3 || words[0] != plain && words[0] != headed {
		return message, nil, nil, nil
	}
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%q: %w", message, err)
	}
	body = make([]byte, size+len("\r\n"))
	if _, err = io.ReadFull(r, body); err != nil {
		return nil, nil, nil, err
	}
	return append(message, body...), words, body, nil
}

// natsCall names what a message to NATS changes about a room: "append genesis".
func natsCall(subject string, body []byte) string {
	parts := strings.Split(subject, ".")
	switch {
	case strings.HasPrefix(subject, "windrpc.") && bytes.Contains(body, []byte("RoomCreateRequest")):
		return "ask"
	case parts[0] == "wind" && len(parts) == 5:
		return "note"
	case parts[0] == "wind" && len(parts) == 6:
		_, kind, _ := bytes.Cut(body, []byte(persistence.HeaderKind+": "))
		kind, _, _ = bytes.Cut(kind, []byte("\r\n"))
		if parts[5] == "delta" {
			kind = []byte("delta")
		}
		return "append " + string(kind)
	case parts[0] == "$O":
		return "snapshot " + parts[2]
	case !strings.HasPrefix(subject, "$JS.API.STREAM.") || len(parts) < 5:
		return ""
	}
	stream := "the log"
	switch {
	case strings.HasPrefix(parts[4], "OBJ_"):
		stream = "snapshots"
	case strings.HasSuffix(parts[4], "_DELTA"):
		stream = "deltas"
	}
	switch verb := parts[3]; verb {
	case "CREATE", "UPDATE", "DELETE", "PURGE":
		if verb == "PURGE" && stream == "the log" && !bytes.Contains(body, []byte(`.log"`)) {
			stream = "notes" // which are on a subject of their own
		}
		return strings.ToLower(verb) + " " + stream
	}
	return ""
}

// trappedArchives are archives in a folder. Each change of one goes by a trap first; the file with which a start tries the folder is no archive.
type trappedArchives struct {
	*persistence.Folder
	trap string // its URL
}

// openTrapped opens archives at trapped://<address of the trap>/?folder=<folder>.
func openTrapped(_ context.Context, place string) (persistence.Archives, error) {
	u, err := url.Parse(place)
	if err != nil {
		return nil, err
	}
	folder, err := persistence.NewFolder(u.Query().Get("folder"))
	return &trappedArchives{folder, "http://" + u.Host + "/"}, err
}

// archives returns what --archive says so that archives in a folder go by the trap.
func (x *trap) archives(t *testing.T, folder string) string {
	t.Helper()
	waits := make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/answered" {
			x.answered()
			<-waits
		}
		switch x.comes(r.FormValue("call")) {
		case hold:
			<-waits
		case answer:
			w.WriteHeader(http.StatusAccepted)
		}
	})}
	return "trapped://" + listen(t, s.Serve, func() { close(waits); _ = s.Close() }) + "/?folder=" + url.QueryEscape(folder)
}

// by performs a call that a trap may stop before or after.
func (a *trappedArchives) by(call string, do func() error) error {
	r, err := http.PostForm(a.trap, url.Values{"call": {call}})
	if err != nil {
		return err
	}
	_ = r.Body.Close()
	if err = do(); err == nil && r.StatusCode == http.StatusAccepted {
		_, err = http.PostForm(a.trap+"answered", nil)
	}
	return err
}

// Create implements persistence.Archives. The trap sees it when half of the file is written, when the whole is and has no name yet, and
// when it has.
func (a *trappedArchives) Create(ctx context.Context, name string, write func(io.Writer) error) error {
	if !strings.HasSuffix(name, ".wind") {
		return a.Folder.Create(ctx, name, write)
	}
	return a.by("store the archive", func() error {
		return a.Folder.Create(ctx, name, func(w io.Writer) error {
			err := write(&halved{a, w, false})
			return errors.Join(err, a.by("name the archive", func() error { return nil }))
		})
	})
}

// Remove implements persistence.Archives.
func (a *trappedArchives) Remove(ctx context.Context, name string) error {
	if !strings.HasSuffix(name, ".wind") {
		return a.Folder.Remove(ctx, name)
	}
	return a.by("remove an archive", func() error { return a.Folder.Remove(ctx, name) })
}

// halved writes, of the first bytes, one half and then the other.
type halved struct {
	archives *trappedArchives
	io.Writer
	begun bool
}

func (h *halved) Write(b []byte) (int, error) {
	if h.begun {
		return h.Writer.Write(b)
	}
	h.begun = true
	n, err := h.Writer.Write(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	more := 0
	err = h.archives.by("write on at the archive", func() (err error) {
		more, err = h.Writer.Write(b[len(b)/2:])
		return err
	})
	return n + more, err
}
