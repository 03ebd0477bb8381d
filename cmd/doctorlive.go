package cmd

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
)

// liveTimeout bounds each request to a running node or server.
const liveTimeout = 3 * time.Second

// report collects findings.
type report struct {
	spell    func(string) string
	findings []finding
	listens  map[string]string // address → the cluster's node that listens there
	hangs    map[string]bool   // nodes whose /healthz has said what hangs
	crowd    bool              // the cluster has services or gateways, and no node has ever run the shard
	standing shard.Standing    // of the shard, as etcd has it
	copies   jetstream.Copies  // of the shard's streams on running servers; zeros: it has none there
}

func (r *report) say(check, status, detail string, args ...any) {
	r.findings = append(r.findings, finding{check, status, r.spell(fmt.Sprintf(detail, args...))})
}

// examineCluster reports what is wrong with the shard of a running cluster, from its nodes' /healthz and from etcd.
func (r *report) examineCluster(ctx context.Context, f *nodeFlags, etcdURLs string) {
	nodes, instances, err := r.examineEtcd(ctx, f, etcdURLs)
	if err != nil {
		r.say("etcd", "fail", "%s: %s", shard.AwaitsEtcd, shard.Sentence(shard.AwaitsEtcd, f.shard, err.Error()))
	}
	r.listens, r.hangs = map[string]string{}, map[string]bool{}
	for _, n := range nodes {
		for _, addr := range n.Addresses {
			r.listens[addr] = n.Node
		}
		if addr := n.Addresses["http"]; addr != "" {
			r.examineNode(ctx, f.shard, n.Node, addr)
		}
		if n.Hung != "" && !r.hangs[n.Node] {
			r.say("node "+n.Node, "fail", "%s: %s", shard.Hung, n.Hung)
		}
	}
	if f.http != "" && r.listens[f.http] == "" {
		r.examineNode(ctx, f.shard, "", f.http) // a node whose lease ran out is not in the directory
	}
	for i := range instances {
		r.examineInstance(&instances[i])
	}
}

// examineInstance reports what an instance of a service, or a gateway, says of itself in the directory.
func (r *report) examineInstance(i *discovery.Instance) {
	check := i.Type + " " + i.ID
	switch {
	case i.Hung == "":
		r.say(check, "ok", "%s on node %s, %s", i.State, i.Node, plural(i.Players, "player"))
	case !r.hangs[i.Node]:
		r.say(check, "fail", "%s: %s", shard.Hung, shard.Sentence(shard.Hung, "", i.Hung))
	}
}

// examineEtcd reports the shard's standing and etcd's space, and returns the cluster's nodes and instances.
func (r *report) examineEtcd(ctx context.Context, f *nodeFlags, urls string) (nodes []etcd.NodeInfo, instances []discovery.Instance, err error) {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	client, err := etcd.Dial(ctx, strings.Split(urls, ",")...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = client.Close() }() // only read from
	if err := r.examineShard(ctx, client, f); err != nil {
		return nil, nil, err
	}
	r.examineSpace(ctx, client)
	clusters, err := etcd.Clusters(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	if len(clusters) > 0 && !slices.Contains(clusters, f.cluster) {
		r.say("--cluster", "warn", "nothing has run in cluster %s yet; these servers have %s", f.cluster, strings.Join(clusters, ", "))
	}
	if nodes, err = etcd.Nodes(ctx, client, f.cluster); err != nil {
		return nil, nil, err
	}
	services, err := etcd.Services(client, f.cluster)
	if err != nil {
		return nil, nil, err
	}
	if instances, err = discovery.List(ctx, services); err != nil {
		return nil, nil, err
	}
	r.crowd = len(instances) > 0 && f.shard != "" && r.standing.Epoch == 0
	return nodes, instances, nil
}

// examineSpace reports how much space etcd has.
func (r *report) examineSpace(ctx context.Context, client *etcd.Client) {
	s, err := etcd.SpaceOf(ctx, client)
	switch advice := s.Advice(); {
	case err != nil:
		r.say("etcd's space", "warn", "%v", err)
	case s.Full:
		r.say("etcd's space", "fail", "%s", advice)
	case advice != "":
		r.say("etcd's space", "warn", "%s", advice)
	default:
		r.say("etcd's space", "ok", "%d MiB of %d", s.Bytes>>20, s.Quota>>20)
	}
}

// examineShard reports the standing of the shard, unless the node is for rooms alone.
func (r *report) examineShard(ctx context.Context, client *etcd.Client, f *nodeFlags) error {
	if f.shard == "" {
		return nil
	}
	s, err := etcd.Look(client, f.cluster, f.shard)
	if err != nil {
		return err
	}
	standing, err := s.Read(ctx)
	if err != nil {
		return err
	}
	r.examineStanding(f.shard, standing)
	return nil
}

// examineStanding reports who owns the shard, or why nobody may.
func (r *report) examineStanding(name string, s shard.Standing) {
	r.standing = s
	switch {
	case s.Halted != "":
		kind := shard.HaltedBy(s.Halted)
		r.say("shard "+name, "fail", "%s: %s", kind, shard.Sentence(kind, name, s.Halted))
	case s.Owner != "":
		r.say("shard "+name, "ok", "node %s owns it (epoch %d)", s.Owner, s.Epoch)
	case s.Epoch > 0:
		r.say("shard "+name, "ok", "no node owns it at the moment (epoch %d was the last)", s.Epoch)
	}
}

// examineLive compares what running servers hold of the shard with the game and the flags, without changing anything.
func (r *report) examineLive(ctx context.Context, a *app, f *nodeFlags, url string) {
	ctx, cancel := context.WithTimeout(ctx, 3*liveTimeout)
	defer cancel()
	conn, err := jetstream.Connect(ctx, jetstream.ConnectConfig{URL: url, ReadOnly: true, Logger: a.log})
	if errors.Is(err, jetstream.ErrRefused) {
		r.say("--nats", "fail", "%v", node.Unconnected(err))
		return
	}
	if err != nil {
		r.say("log", "fail", "%s: %s", shard.AwaitsNATS, shard.Sentence(shard.AwaitsNATS, f.shard, err.Error()))
		return
	}
	defer conn.Close()
	if f.shard == "" { // the logs of rooms are made with them
		if err := conn.CheckReplicas(f.replicas); err != nil {
			r.found("", "log", err)
		}
		return
	}
	s, err := jetstream.Open(ctx, conn, f.cluster, f.shard, "", jetstream.Options{})
	if errors.Is(err, persistence.ErrNotFound) { // nothing to compare with: a node would create the log
		if err := first(node.LogGone(f.shard, r.standing, false), conn.CheckReplicas(f.replicas)); err != nil {
			r.found(f.shard, "log", err)
		}
		return
	}
	if err == nil {
		defer s.Close()
		r.examineCopies(s.Copies(), f.replicas)
		err = r.examineHeld(ctx, a, f, s)
	}
	if errors.Is(err, persistence.ErrNotFound) {
		return // the log has just been created, and nothing is committed yet
	}
	if err != nil {
		r.found(f.shard, "log", err)
	}
}

// examineCopies compares the numbers of copies with --replicas; 0: the flag was not given.
func (r *report) examineCopies(c jetstream.Copies, asked int) {
	r.copies = c
	if asked == 0 {
		return
	}
	for _, s := range []struct {
		what   string
		copies int
	}{{"log", c.Log}, {"delta stream", c.Deltas}, {"snapshots", c.Snapshots}} {
		switch s.copies {
		case 0:
		case asked:
			r.say("--replicas", "ok", "copies of the %s: %d", s.what, s.copies)
		default:
			r.say("--replicas", "warn", "copies of the %s: %d, --replicas says %d, which counts for new streams alone: change it with nats stream edit", s.what, s.copies, asked)
		}
	}
}

// examineNode reads a node's /healthz. A node that serves the shard, or waits for the one that does, is ok, and so is one of
// services or a gateway under no condition: the directory describes it.
func (r *report) examineNode(ctx context.Context, name, id, addr string) {
	h, err := healthOf(ctx, addr)
	switch {
	case err != nil && id == "":
		return // no sign of a node there
	case err != nil:
		r.say("node "+id, "fail", "http://%s/healthz does not answer (%v): the process hangs, is stopped, or listens on another machine", addr, err)
		return
	case h.ShardHealth != nil && h.Shard != name:
		return // it runs another shard
	}
	r.listens[addr] = h.Node
	for _, other := range h.Addresses {
		r.listens[other] = h.Node
	}
	switch {
	case len(h.Conditions) == 0 && h.ShardHealth == nil && h.Rooms != nil:
		r.say("node "+h.Node, "ok", "hosts %s", plural(h.Rooms.Hosted, "room"))
	case len(h.Conditions) == 0 && h.ShardHealth != nil:
		r.say("node "+h.Node, "ok", "phase %s, tick %d, %s", h.Phase, h.Tick, plural(h.Clients, "client"))
	}
	for _, c := range h.Conditions {
		status := "warn"
		if c.Stops {
			status = "fail"
		}
		r.say("node "+h.Node, status, "%s: %s", c.Kind, c.Text)
		r.hangs[h.Node] = r.hangs[h.Node] || c.Kind == shard.Hung
	}
}

// healthOf reads a node's /healthz.
func healthOf(ctx context.Context, addr string) (h node.Health, err error) {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	err = readHealth(ctx, http.DefaultClient, "http://"+addr, &h)
	if errors.Is(err, errPlain) { // whoever the certificate is for, that something answers is all that is asked
		once := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		err = readHealth(ctx, once, "https://"+addr, &h)
	}
	return h, err
}

// errPlain reports that a server speaks TLS.
var errPlain = errors.New("the server answers over TLS alone")

func readHealth(ctx context.Context, c *http.Client, base string, h *node.Health) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err != nil {
		return err
	}
	answer, err := c.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusBadRequest {
		return errPlain
	}
	return json.NewDecoder(answer.Body).Decode(h)
}
