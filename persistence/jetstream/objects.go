package jetstream

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// chunkBytes is the size of an object's messages, the same as in NATS's own tools.
const chunkBytes = 128 << 10

// maxObjectBytes is larger than any snapshot.
const maxObjectBytes = 2 * persistence.MaxSnapshotBytes

// uploadPause is the longest time between two messages of an upload. Older chunks that no description names belong to
// an upload that never ended.
const uploadPause = 15 * time.Minute

// objects is an object store in the layout of NATS's (ADR-20); `nats object` lists it. An object consists of the
// messages on $O.<bucket>.C.<id>, its chunks, and one message on $O.<bucket>.M.<base64 of its name>, which describes it
// and so gives it its name. nats.go's own ObjectStore has this layout too, but a damaged message makes its listing and
// its reading wait for a message that never comes. This type requests each message separately, from the stream's
// leader.
//
// With a scope, "<room>.<lineage>.", the ids and the encoded names begin with it. One filter then matches what the room
// has stored, so that what a room asks for costs the same however many rooms there are.
type objects struct {
	js      jetstream.JetStream
	stream  jetstream.Stream
	bucket  string
	scope   string    // "": of all shards with streams of their own
	started time.Time // start of the embedded server: all earlier uploads have ended; zero if the server is external
	pause   time.Duration
}

// damagedObject reports that a piece of an object is damaged or missing.
type damagedObject struct{ name, reason string }

func (d *damagedObject) Error() string { return d.name + ": " + d.reason }

// openObjects opens a bucket, or creates it if it does not exist. It returns nil if it does not exist and the
// connection is read-only. With a scope, the connection remembers the bucket: it will be opened for many rooms.
func openObjects(ctx context.Context, c *Conn, bucket, scope string, config jetstream.ObjectStoreConfig, chosen bool) (*objects, error) {
	fail := func(err error) (*objects, error) {
		return nil, fmt.Errorf("jetstream: cannot open the object store %s: %w", bucket, err)
	}
	o := &objects{js: c.js, bucket: bucket, scope: scope, started: c.started, pause: uploadPause}
	var err error
	o.stream, err = c.stream(ctx, objectPrefix+bucket, scope != "")
	if isMissing(err) && c.readOnly {
		return nil, nil
	}
	if isMissing(err) {
		// As nats.go creates an object store, but without direct reads from the start: a server counts a stream's
		// reservation twice if the stream is changed later.
		err = createStream(ctx, c, jetstream.StreamConfig{
			Name: objectPrefix + bucket, Description: config.Description, Subjects: []string{"$O." + bucket + ".C.>", "$O." + bucket + ".M.>"},
			MaxBytes: config.MaxBytes, Storage: config.Storage, Replicas: config.Replicas, Discard: jetstream.DiscardNew, AllowRollup: true,
		}, chosen)
		if err == nil {
			o.stream, err = c.made(ctx, objectPrefix+bucket)
		}
	}
	if err != nil {
		return fail(err)
	}
	settings := o.stream.CachedInfo().Config
	if c.readOnly || !settings.AllowDirect {
		return o, nil
	}
	settings.AllowDirect = false // a follower may lack acknowledged messages
	if _, err = c.js.UpdateStream(ctx, settings); err == nil {
		o.stream, err = c.js.Stream(ctx, objectPrefix+bucket)
	}
	if err != nil {
		return fail(err)
	}
	return o, nil
}

func (o *objects) subject(kind, token string) string {
	return "$O." + o.bucket + "." + kind + "." + token
}

func (o *objects) metaSubject(name string) string {
	return o.subject("M", o.scope+base64.URLEncoding.EncodeToString([]byte(name)))
}

// names lists the names described in the scope, including those of deleted objects. It reads only the subjects.
func (o *objects) names(ctx context.Context) ([]string, error) {
	tokens, err := o.tokens(ctx, "M")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, token := range tokens {
		if name, ok := objectName(token); ok {
			all = append(all, name)
		}
	}
	return all, nil
}

// tokens lists the last tokens of the stored subjects of a kind in the scope, in byte order.
func (o *objects) tokens(ctx context.Context, kind string) ([]string, error) {
	i, err := o.stream.Info(ctx, jetstream.WithSubjectFilter(o.subject(kind, o.scope+"*")))
	if err != nil {
		return nil, err
	}
	prefix := o.subject(kind, o.scope)
	var all []string
	for subject := range i.State.Subjects {
		all = append(all, strings.TrimPrefix(subject, prefix))
	}
	slices.Sort(all)
	return all, nil
}

// info reads an object's description. The error is one that isMissing recognises if the object does not exist or was
// deleted, and a *damagedObject if the description cannot be read.
func (o *objects) info(ctx context.Context, name string) (jetstream.ObjectInfo, error) {
	info, _, err := o.describe(ctx, name)
	return info, err
}

// describe is like info, but also returns the description's sequence.
func (o *objects) describe(ctx context.Context, name string) (info jetstream.ObjectInfo, seq uint64, err error) {
	m, err := o.stream.GetLastMsgForSubject(ctx, o.metaSubject(name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		i, err := o.stream.Info(ctx, jetstream.WithSubjectFilter(o.metaSubject(name)))
		if err == nil && len(i.State.Subjects) > 0 {
			err = &damagedObject{name, "the message that describes it cannot be read"}
		} else if err == nil {
			err = jetstream.ErrObjectNotFound
		}
		return info, 0, err
	}
	if err != nil {
		return info, 0, err
	}
	switch err := json.Unmarshal(m.Data, &info); {
	case err != nil:
		return info, 0, &damagedObject{name, "its description cannot be decoded: " + err.Error()}
	case info.Deleted:
		return info, m.Sequence, jetstream.ErrObjectNotFound
	case info.Name != name || info.NUID == "" || info.Size > maxObjectBytes:
		return info, 0, &damagedObject{name, "its description belongs to another object"}
	}
	return info, m.Sequence, nil
}

// read returns an object's bytes, or a *damagedObject.
func (o *objects) read(ctx context.Context, info jetstream.ObjectInfo) ([]byte, error) {
	subject := o.subject("C", info.NUID)
	var body []byte
	seq := uint64(0)
	for chunk := uint32(1); chunk <= info.Chunks; chunk++ {
		m, err := o.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, &damagedObject{info.Name, fmt.Sprintf("%d of its %d pieces cannot be read", info.Chunks-chunk+1, info.Chunks)}
		}
		if err != nil {
			return nil, err
		}
		if body, seq = append(body, m.Data...), m.Sequence+1; uint64(len(body)) > info.Size {
			break
		}
	}
	if sum := digest(body); uint64(len(body)) != info.Size || sum != info.Digest {
		return nil, &damagedObject{info.Name, fmt.Sprintf("its %d bytes with digest %s are not the %d with %s that were stored", len(body), sum, info.Size, info.Digest)}
	}
	return body, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:])
}

// put stores an object: first its chunks, which it reads back and passes to check, then the message that names it,
// which the server accepts only if the name is free. If anything fails, put discards the chunks. If another writer
// stored the name meanwhile, put checks that object instead.
func (o *objects) put(ctx context.Context, meta jetstream.ObjectMeta, body []byte, check func([]byte) error) (jetstream.ObjectInfo, error) {
	meta.Opts = &jetstream.ObjectMetaOptions{ChunkSize: chunkBytes}
	info := jetstream.ObjectInfo{ObjectMeta: meta, Bucket: o.bucket, NUID: o.scope + rand.Text(), Size: uint64(len(body)), Digest: digest(body)}
	err := o.upload(ctx, &info, body)
	if err == nil {
		err = o.readBack(ctx, info, check)
	}
	taken := false
	if err == nil {
		taken, err = o.name(ctx, &info)
	}
	if err != nil || taken {
		err = errors.Join(err, o.discard(info.NUID))
	}
	if err != nil {
		return info, err
	}
	if info, err = o.info(ctx, meta.Name); err == nil && taken {
		err = o.readBack(ctx, info, check)
	}
	return info, err
}

func (o *objects) upload(ctx context.Context, info *jetstream.ObjectInfo, body []byte) error {
	for chunk := range slices.Chunk(body, chunkBytes) {
		if _, err := o.js.Publish(ctx, o.subject("C", info.NUID), chunk); err != nil {
			return err
		}
		info.Chunks++
	}
	return nil
}

func (o *objects) readBack(ctx context.Context, info jetstream.ObjectInfo, check func([]byte) error) error {
	back, err := o.read(ctx, info)
	if err != nil {
		return err
	}
	return check(back)
}

// name publishes an object's description. taken reports that the name already has another one.
func (o *objects) name(ctx context.Context, info *jetstream.ObjectInfo) (taken bool, err error) {
	m := nats.NewMsg(o.metaSubject(info.Name))
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	if m.Data, err = json.Marshal(info); err != nil {
		return false, err
	}
	_, err = o.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(0))
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == codeWrongLastSequence {
		// Another writer, or the first of two attempts of ours: then the description names our own chunks.
		now, err := o.info(ctx, info.Name)
		return err != nil || now.NUID != info.NUID, err
	}
	return false, err
}

// remove deletes an object and the description that names it. It deletes the name first, so that no name is left
// without its chunks.
func (o *objects) remove(ctx context.Context, name string) error {
	info, err := o.info(ctx, name)
	if err := o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.metaSubject(name))); err != nil {
		return err
	}
	if err != nil { // its chunks are unknown; sweep removes them
		return nil
	}
	return o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.subject("C", info.NUID)))
}

// discard removes the chunks of an object that was not named.
func (o *objects) discard(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.subject("C", id)))
}

// sweep removes the chunks that no object names: a process that dies during an upload leaves them, and nothing else
// would ever remove them. It spares chunks that an upload may still be about to name: those younger than uploadPause,
// unless they are older than the embedded server's start. If it cannot read a description, it removes nothing, as
// seemingly lost chunks may belong to it.
func (o *objects) sweep(ctx context.Context) (uploads int, err error) {
	ids, err := o.tokens(ctx, "C") // before the names, so that an object named meanwhile counts as named
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	named, err := o.named(ctx)
	if damaged := (*damagedObject)(nil); errors.As(err, &damaged) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	before := time.Now().Add(-o.pause)
	if o.started.After(before) {
		before = o.started
	}
	for _, token := range ids {
		id := o.scope + token
		if named[id] {
			continue
		}
		last, err := o.stream.GetLastMsgForSubject(ctx, o.subject("C", id))
		if err == nil && !last.Time.Before(before) {
			continue
		}
		if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) {
			err = o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.subject("C", id)))
		}
		if err != nil {
			return uploads, err
		}
		uploads++
	}
	return uploads, nil
}

// clear removes all that a room has stored, with what unfinished uploads left.
func (o *objects) clear(ctx context.Context) error {
	for _, kind := range []string{"M", "C"} { // first the names, so that no name is left without its chunks
		if err := purgeSubject(ctx, o.stream, o.subject(kind, o.scope+"*")); err != nil {
			return err
		}
	}
	return nil
}

// orphaned reports cheaply whether the scope may contain chunks that no object names: each name has the chunks of one
// id.
func (o *objects) orphaned(ctx context.Context) (bool, error) {
	ids, err := o.tokens(ctx, "C")
	if err != nil {
		return false, err
	}
	names, err := o.tokens(ctx, "M")
	return len(ids) > len(names), err
}

// named returns the ids that the descriptions name. It also removes the descriptions of deleted objects, which name
// nothing.
func (o *objects) named(ctx context.Context) (map[string]bool, error) {
	names, err := o.names(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(names))
	err = each(len(names), requestsAtOnce, func(i int) error {
		info, seq, err := o.describe(ctx, names[i])
		if isMissing(err) && seq > 0 {
			return o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.metaSubject(names[i])), jetstream.WithPurgeSequence(seq+1))
		}
		if isMissing(err) {
			return nil
		}
		ids[i] = info.NUID
		return err
	})
	named := map[string]bool{}
	for _, id := range ids {
		named[id] = true
	}
	return named, err
}

// requestsAtOnce is how many descriptions are asked for at the same time.
const requestsAtOnce = 16

// each calls do for 0 to n-1, at most so many at a time, and joins the errors.
func each(n, atOnce int, do func(i int) error) error {
	errs := make([]error, n)
	var group sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for i := range n {
		turn <- struct{}{}
		group.Go(func() {
			defer func() { <-turn }()
			errs[i] = do(i)
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// objectName decodes an object's name from the last token of its subject.
func objectName(token string) (string, bool) {
	b, err := base64.URLEncoding.DecodeString(token)
	return string(b), err == nil
}
