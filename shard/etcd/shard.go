package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/wait"
	"github.com/ferris1/wind/shard"
)

// callTimeout bounds every call. In a cluster that elects a new leader, the next call gets an answer.
const callTimeout = 3 * time.Second

// Shard accesses the keys of one shard. With a node it implements shard.Ownership. Without one (see Look) it serves
// tools: it reads, and performs an operator's actions. Safe for concurrent use.
type Shard struct {
	client *clientv3.Client
	node   *Node // nil for tools
	name   string
	prefix string // ends with "/"
	room   bool   // somebody asked for it: without a spec it is forgotten, see stands

	born   atomic.Int64           // revision of the lineage that this node has bid with; 0: it has not bid
	marked atomic.Pointer[marked] // as this node wrote it last, or found it; nil: neither
}

// marked is a high-water mark in etcd.
type marked struct {
	mark     persistence.Mark
	revision int64 // of the key "high"
}

// covers reports whether a mark is noted already. A mark never goes back.
func (n *marked) covers(m persistence.Mark) bool {
	return n.mark.Epoch > m.Epoch || n.mark.Epoch == m.Epoch && n.mark.Seq >= m.Seq
}

// The values in etcd.
type (
	ownerValue struct {
		Node  string            `json:"node"`
		Epoch persistence.Epoch `json:"epoch"`
		Lease string            `json:"lease"` // as etcdctl prints it
		Since time.Time         `json:"since"`
		// Addresses of the node's front door, by transport: whoever looks for the shard needs no second key.
		Addresses map[string]string `json:"addresses,omitempty"`
	}
	epochValue struct {
		Epoch persistence.Epoch `json:"epoch"`
		Node  string            `json:"node"`
		At    time.Time         `json:"at"`
	}
	lineageValue struct {
		Lineage string    `json:"lineage"`
		Since   time.Time `json:"since"`
	}
	markValue struct {
		Seq   persistence.Seq   `json:"seq"`
		Epoch persistence.Epoch `json:"epoch"`
		At    time.Time         `json:"at"`
	}
	attemptValue struct {
		Tick  uint64            `json:"tick"`
		Count int               `json:"count"`
		Epoch persistence.Epoch `json:"epoch"`
		Node  string            `json:"node"`
		At    time.Time         `json:"at"`
	}
	haltedValue struct {
		Reason string    `json:"reason"`
		Node   string    `json:"node"`
		At     time.Time `json:"at"`
	}
)

// Shard returns the node's view of a shard. The name is [a-z0-9-]{1,40}.
func (n *Node) Shard(name string) (*Shard, error) {
	s, err := Look(n.client, n.cfg.Cluster, name)
	if err != nil {
		return nil, err
	}
	s.node = n
	return s, nil
}

// Look returns a view of a shard for tools.
func Look(client *clientv3.Client, cluster, name string) (*Shard, error) {
	if err := errors.Join(persistence.ValidShardName(cluster), persistence.ValidShardName(name)); err != nil {
		return nil, err
	}
	return &Shard{client: client, name: name, prefix: shardPrefix(cluster, name)}, nil
}

// Read returns the shard's state at one revision.
func (s *Shard) Read(ctx context.Context) (st shard.Standing, err error) {
	ctx, end := s.asks(ctx, "read")
	defer end(&err)
	got, err := s.client.Get(ctx, s.prefix, clientv3.WithPrefix())
	if err != nil {
		return shard.Standing{}, s.wrap("read", err)
	}
	st.Revision = got.Header.Revision
	forgotten := s.room
	for _, kv := range got.Kvs {
		if err := s.parse(&st, kv); err != nil {
			return shard.Standing{}, fmt.Errorf("etcd: %s holds %.100q: %w", kv.Key, kv.Value, err)
		}
		forgotten = forgotten && string(kv.Key) != s.prefix+"spec"
	}
	st.Ended = st.Ended || forgotten
	return st, nil
}

// parse stores the value of one key in st.
func (s *Shard) parse(st *shard.Standing, kv *mvccpb.KeyValue) error {
	switch strings.TrimPrefix(string(kv.Key), s.prefix) {
	case "owner":
		var v ownerValue
		err := json.Unmarshal(kv.Value, &v)
		st.Owner, st.OwnerLease = v.Node, kv.Lease
		return err
	case "epoch":
		var v epochValue
		err := json.Unmarshal(kv.Value, &v)
		st.Epoch, st.EpochRevision = v.Epoch, kv.ModRevision
		return err
	case "lineage":
		var v lineageValue
		err := json.Unmarshal(kv.Value, &v)
		st.Lineage = v.Lineage
		return err
	case "high":
		return parseMark(kv.Value, &st.High)
	case "accepted":
		all, err := parseMarks(kv.Value)
		for _, v := range all {
			st.Accepted = append(st.Accepted, persistence.Mark{Seq: v.Seq, Epoch: v.Epoch})
		}
		return err
	case "state":
		st.Ended = true
	case "attempt":
		var v attemptValue
		err := json.Unmarshal(kv.Value, &v)
		st.Attempt = shard.Attempt{Tick: v.Tick, Count: v.Count, Epoch: v.Epoch}
		return err
	case "halted":
		var v haltedValue
		err := json.Unmarshal(kv.Value, &v)
		if st.Halted = v.Reason; v.Reason == "" {
			st.Halted = "no reason was given"
		}
		return err
	}
	return nil
}

func parseMark(b []byte, m *persistence.Mark) error {
	var v markValue
	err := json.Unmarshal(b, &v)
	*m = persistence.Mark{Seq: v.Seq, Epoch: v.Epoch}
	return err
}

// parseMarks parses what AcceptLoss writes: a list, or the single mark that earlier builds wrote.
func parseMarks(b []byte) (all []markValue, err error) {
	if err = json.Unmarshal(b, &all); err != nil {
		all = make([]markValue, 1)
		err = json.Unmarshal(b, &all[0])
	}
	return all, err
}

// Claim writes owner and epoch in one transaction, if the shard has no owner, no halt and no end, and if its epoch and
// lineage are still those of the bid.
func (s *Shard) Claim(ctx context.Context, b shard.Bid) (granted bool, err error) {
	ctx, end := s.asks(ctx, "claim")
	defer end(&err)
	now := time.Now().UTC()
	then := []clientv3.Op{
		s.put("owner", ownerValue{Node: b.Node, Epoch: b.Epoch, Lease: fmt.Sprintf("%x", b.Lease), Since: now, Addresses: s.addresses()}, clientv3.WithLease(clientv3.LeaseID(b.Lease))),
		s.put("epoch", epochValue{Epoch: b.Epoch, Node: b.Node, At: now}),
	}
	lineage, born, err := s.agree(ctx, b.Lineage)
	if errors.Is(err, errForgotten) {
		return false, nil // the standing says so
	}
	if err != nil {
		return false, err
	}
	if lineage != b.Lineage {
		return false, nil
	}
	s.born.Store(born)
	got, err := s.client.Txn(ctx).If(append(s.stands(born),
		clientv3.Compare(clientv3.CreateRevision(s.prefix+"owner"), "=", 0),
		clientv3.Compare(clientv3.CreateRevision(s.prefix+"halted"), "=", 0),
		clientv3.Compare(clientv3.CreateRevision(s.prefix+"state"), "=", 0),
		clientv3.Compare(clientv3.ModRevision(s.prefix+"epoch"), "=", b.EpochRevision),
	)...).Then(then...).Commit()
	if err != nil {
		return false, s.wrap("claim", err)
	}
	return got.Succeeded, nil
}

// AgreeLineage returns the shard's lineage from etcd. If etcd has none, it writes the proposed one first. Several
// callers with different proposals all get the same answer.
func (s *Shard) AgreeLineage(ctx context.Context, proposed string) (lineage string, err error) {
	lineage, _, err = s.agree(ctx, proposed)
	return lineage, err
}

// agree is AgreeLineage. It also returns the revision of the lineage.
func (s *Shard) agree(ctx context.Context, proposed string) (lineage string, revision int64, err error) {
	ctx, end := s.asks(ctx, "agree on the lineage of")
	defer end(&err)
	key := s.prefix + "lineage"
	got, err := s.client.Get(ctx, key) // a transaction that may write costs a write even if it only reads
	if err != nil {
		return "", 0, s.wrap("agree on the lineage of", err)
	}
	kvs := got.Kvs
	if len(kvs) == 0 {
		put, err := s.client.Txn(ctx).If(append(s.stands(0), clientv3.Compare(clientv3.CreateRevision(key), "=", 0))...).
			Then(s.put("lineage", lineageValue{Lineage: proposed, Since: time.Now().UTC()})).
			Else(clientv3.OpGet(key)).Commit()
		if err != nil {
			return "", 0, s.wrap("agree on the lineage of", err)
		}
		if put.Succeeded {
			return proposed, put.Header.Revision, nil
		}
		if kvs = put.Responses[0].GetResponseRange().Kvs; len(kvs) == 0 {
			return "", 0, fmt.Errorf("etcd: room %s: %w", s.name, errForgotten)
		}
	}
	var v lineageValue
	if err := json.Unmarshal(kvs[0].Value, &v); err != nil {
		return "", 0, fmt.Errorf("etcd: %s holds %.100q: %w", key, kvs[0].Value, err)
	}
	return v.Lineage, kvs[0].ModRevision, nil
}

// Note writes the fields that are set in n. A high-water mark never goes back, neither in epoch nor in sequence within
// one epoch: a paused owner that wakes up cannot lower it. Nothing is noted for a room that is forgotten. A halt deletes the attempts, so that the shard starts afresh
// when an operator lifts it.
func (s *Shard) Note(ctx context.Context, n shard.Note) (err error) {
	ctx, end := s.asks(ctx, "write a note of")
	defer end(&err)
	now, node := time.Now().UTC(), s.nodeID()
	if n.Lived > 0 {
		if err := s.forget(ctx, n.Lived); err != nil {
			return err
		}
	}
	if n.Halted != "" {
		halt := []clientv3.Op{s.put("halted", haltedValue{Reason: n.Halted, Node: node, At: now}), clientv3.OpDelete(s.prefix + "attempt")}
		if err := s.also(ctx, s.born.Load(), halt); err != nil {
			return err
		}
	}
	// From here until the tick is simulated, a death counts against the attempt.
	var attempt []clientv3.Op
	if n.Attempt.Tick > 0 {
		attempt = append(attempt, s.put("attempt", attemptValue{Tick: n.Attempt.Tick, Count: n.Attempt.Count, Epoch: n.Attempt.Epoch, Node: node, At: now}))
	}
	if n.High.Epoch > 0 {
		return s.raise(ctx, s.born.Load(), n.High, attempt...)
	}
	return s.also(ctx, s.born.Load(), attempt)
}

// also performs operations that go with a note.
func (s *Shard) also(ctx context.Context, born int64, ops []clientv3.Op) error {
	if len(ops) == 0 {
		return nil
	}
	got, err := s.client.Txn(ctx).If(s.stands(born)...).Then(ops...).Commit()
	if err == nil && !got.Succeeded {
		return s.forgotten()
	}
	return s.wrap("write a note of", err)
}

// forget deletes the attempt of an epoch, but not that of another epoch.
func (s *Shard) forget(ctx context.Context, epoch persistence.Epoch) error {
	got, err := s.client.Get(ctx, s.prefix+"attempt")
	if err != nil {
		return s.wrap("forget the attempt of", err)
	}
	var v attemptValue
	if len(got.Kvs) == 0 || json.Unmarshal(got.Kvs[0].Value, &v) != nil || v.Epoch != epoch {
		return nil
	}
	_, err = s.removeAt(ctx, s.prefix+"attempt", got.Kvs[0].ModRevision)
	return err
}

// raise writes the high-water mark unless etcd has a higher one, and performs what goes with it, unless a later epoch has noted its own.
func (s *Shard) raise(ctx context.Context, born int64, m persistence.Mark, also ...clientv3.Op) error {
	key := s.prefix + "high"
	for {
		got, err := s.client.Get(ctx, key)
		if err != nil {
			return s.wrap("note the last sequence of", err)
		}
		var revision int64
		if len(got.Kvs) > 0 {
			revision = got.Kvs[0].ModRevision
			var have persistence.Mark
			if err := parseMark(got.Kvs[0].Value, &have); err != nil {
				return fmt.Errorf("etcd: %s holds %.100q: %w", key, got.Kvs[0].Value, err)
			}
			if have.Epoch > m.Epoch {
				return fmt.Errorf("%w: epoch %d has already noted sequence %d of shard %s", shard.ErrFenced, have.Epoch, have.Seq, s.name)
			}
			if have.Epoch == m.Epoch && have.Seq >= m.Seq {
				s.marked.Store(&marked{have, revision})
				return s.also(ctx, born, also)
			}
			if have.Epoch == m.Epoch && s.rests(got.Kvs[0].Value) {
				return s.also(ctx, born, also)
			}
		}
		stands := s.stands(born)
		put, err := s.client.Txn(ctx).If(append(stands, clientv3.Compare(clientv3.ModRevision(key), "=", revision))...).
			Then(append([]clientv3.Op{s.put("high", markValue{Seq: m.Seq, Epoch: m.Epoch, At: time.Now().UTC()})}, also...)...).Commit()
		if err != nil {
			return s.wrap("note the last sequence of", err)
		}
		if put.Succeeded {
			s.marked.Store(&marked{m, put.Header.Revision})
			return nil
		}
		if len(stands) == 0 {
			continue
		}
		still, err := s.client.Txn(ctx).If(stands...).Commit()
		if err != nil {
			return s.wrap("note the last sequence of", err)
		}
		if !still.Succeeded {
			return s.forgotten()
		}
	}
}

// rests reports whether a mark is too recent to be written again, in an etcd that nobody compacts.
func (s *Shard) rests(mark []byte) bool {
	var v markValue
	return s.node != nil && s.node.crowded.Load() && json.Unmarshal(mark, &v) == nil && time.Since(v.At) < slowNotes
}

// release is Release, once.
func (s *Shard) release(ctx context.Context, epoch persistence.Epoch, clean bool) (err error) {
	ctx, end := s.asks(ctx, "release")
	defer end(&err)
	got, err := s.client.Get(ctx, s.prefix, clientv3.WithPrefix())
	if err != nil {
		return s.wrap("release", err)
	}
	var errs []error
	for _, kv := range got.Kvs {
		var ours bool
		switch strings.TrimPrefix(string(kv.Key), s.prefix) {
		case "owner":
			var v ownerValue
			ours = json.Unmarshal(kv.Value, &v) == nil && v.Node == s.nodeID() && v.Epoch == epoch
		case "attempt":
			var v attemptValue
			ours = clean && json.Unmarshal(kv.Value, &v) == nil && v.Epoch == epoch
		}
		if ours {
			_, err := s.removeAt(ctx, string(kv.Key), kv.ModRevision)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// TakeOver deletes the owner key that st saw, so that this node can claim before the lease expires. It returns false if
// the key has changed since. Safety does not depend on the lease but on the log.
func (s *Shard) TakeOver(ctx context.Context, st shard.Standing) (taken bool, err error) {
	ctx, end := s.asks(ctx, "take over")
	defer end(&err)
	got, err := s.client.Get(ctx, s.prefix+"owner")
	if err != nil {
		return false, s.wrap("take over", err)
	}
	if len(got.Kvs) == 0 || got.Kvs[0].Lease != st.OwnerLease || got.Kvs[0].ModRevision > st.Revision {
		return false, nil
	}
	return s.removeAt(ctx, s.prefix+"owner", got.Kvs[0].ModRevision)
}

// AcceptLoss records an operator's decision (wind shard accept-loss) to give up the history above last, even if
// evidence of it remains, and allows the shard to be claimed again. It returns all losses that were ever accepted,
// oldest first.
func (s *Shard) AcceptLoss(ctx context.Context, last persistence.Seq) (accepted []persistence.Mark, err error) {
	st, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	if st.Owner != "" {
		return nil, fmt.Errorf("etcd: shard %s is owned by node %s: stop it first", s.name, st.Owner)
	}
	ctx, end := s.asks(ctx, "accept the loss of")
	defer end(&err)
	got, err := s.client.Get(ctx, s.prefix+"accepted")
	if err != nil {
		return nil, s.wrap("accept the loss of", err)
	}
	var values []markValue
	if len(got.Kvs) > 0 {
		if values, err = parseMarks(got.Kvs[0].Value); err != nil {
			return nil, fmt.Errorf("etcd: %s holds %.100q: %w", got.Kvs[0].Key, got.Kvs[0].Value, err)
		}
	}
	if mark := (persistence.Mark{Seq: last, Epoch: st.Epoch}); !slices.Contains(st.Accepted, mark) {
		values = append(values, markValue{Seq: last, Epoch: st.Epoch, At: time.Now().UTC()})
		accepted = append(st.Accepted, mark)
	} else {
		accepted = st.Accepted
	}
	done, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(s.prefix+"owner"), "=", 0)).Then(
		s.put("accepted", values),
		clientv3.OpDelete(s.prefix+"halted"),
		clientv3.OpDelete(s.prefix+"attempt")).Commit()
	if err == nil && !done.Succeeded {
		return nil, fmt.Errorf("etcd: a node has just claimed shard %s: stop it first", s.name)
	}
	return accepted, s.wrap("accept the loss of", err)
}

// Lift removes a halt, after an operator has dealt with its reason.
func (s *Shard) Lift(ctx context.Context) (err error) {
	ctx, end := s.asks(ctx, "lift the halt of")
	defer end(&err)
	_, err = s.client.Txn(ctx).Then(clientv3.OpDelete(s.prefix+"halted"), clientv3.OpDelete(s.prefix+"attempt")).Commit()
	return s.wrap("lift the halt of", err)
}

// removeAt deletes a key if it is still at a revision.
func (s *Shard) removeAt(ctx context.Context, key string, revision int64) (bool, error) {
	got, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(clientv3.OpDelete(key)).Commit()
	if err != nil {
		return false, s.wrap("release", err)
	}
	return got.Succeeded, nil
}

// put returns the operation that writes a value as JSON.
func (s *Shard) put(key string, value any, opts ...clientv3.OpOption) clientv3.Op {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err) // the values are ours: structs of plain fields
	}
	return clientv3.OpPut(s.prefix+key, string(b), opts...)
}

// asks bounds a call: see wait.For.
func (s *Shard) asks(ctx context.Context, verb string) (context.Context, func(*error)) {
	return asks(ctx, verb+" shard "+s.name)
}

func asks(ctx context.Context, what string) (context.Context, func(*error)) {
	return wait.For(clientv3.WithRequireLeader(ctx), wait.Etcd, callTimeout, what)
}

func (s *Shard) addresses() map[string]string {
	if s.node == nil {
		return nil
	}
	return s.node.cfg.Addresses
}

func (s *Shard) nodeID() string {
	if s.node == nil {
		return "operator"
	}
	return s.node.cfg.ID
}

func (s *Shard) wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return fmt.Errorf("etcd: cannot %s shard %s: %w: %s", verb, s.name, err, Space{Full: true}.Advice())
	}
	return fmt.Errorf("etcd: cannot %s shard %s: %w", verb, s.name, err)
}
