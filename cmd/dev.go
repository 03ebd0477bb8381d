package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/fleet"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/cert"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/room"
)

func (a *app) dev() *cobra.Command {
	f := &nodeFlags{cluster: "dev", fast: true}
	var bots int
	var lobby bool
	var span time.Duration
	var way badNetwork
	g := &gatewayFlags{}
	var scripts string
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process: a shard, its log, its leases, and bots on request",
		Long: `Starts embedded NATS and etcd servers, runs one shard of the game, accepts clients over UDP (KCP) and TCP, and, with
--bots, plays against itself. Kill it at any moment and start it again on the same data: it continues from the last
committed tick. Beside its shard, dev hosts rooms of the game, up to --capacity (see wind room).

A shard keeps the game options of its first start. Runs until Ctrl-C, until --for is over, or until the game ends: then dev prints the
result and exits with 0, and a later start on the same shard fails and says that it is over.`,
		Example: "  wind dev --bots 50\n  wind dev --bots 50 --monsters 200 --for 10s --json --data ./run1",
	}
	f.add(c.Flags(), a)
	c.Flags().IntVar(&bots, "bots", 0, "number of bots that play along, over UDP like any client")
	c.Flags().Var(&way, "net", "simulated network of the bots: "+badNetworkUsage("wind bots --help"))
	if a.lobby != nil {
		c.Flags().BoolVar(&lobby, "lobby", false, "also run the game's lobby; the bots log in there, queue, play a match in a room, and queue again")
	}
	spanFlag(c.Flags(), &span, "how long to run")
	c.Flags().StringVar(&scripts, "scripts", "", "folder of the game's scripts; dev reloads files saved there (default: the folder that this binary was built from)")
	g.add(c.Flags())
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		if bots < 0 || bots > mostBots {
			return usagef("dev: --bots %d is not 0 to %d", bots, mostBots)
		}
		if bots > 0 && f.udp == "" {
			return usagef("dev: --bots needs UDP: give --udp an address")
		}
		if bots == 0 && way.bad() {
			return usagef("dev: --net is the network of the bots: give --bots, too")
		}
		if lobby && f.capacity == 0 {
			return usagef("dev: --lobby needs rooms: give --capacity more than 0")
		}
		services := a.services
		if !lobby {
			services = a.standing()
		}
		config, err := a.devConfig(f, services, scripts)
		if err != nil {
			return err
		}
		if err := f.tls.make(&config, f.data, a.log); err != nil {
			return err
		}
		if config.Archives, err = f.archives(ctx, a); err != nil {
			return err
		}
		if config.Gateway, err = g.config(ctx, a); err != nil {
			return err
		}
		connections := bots
		if lobby {
			connections = 2 * bots // each at the gateway and in a room
		}
		makeRoom(&config.Limits, connections)
		return a.runNode(ctx, config, f, span, func(ctx context.Context, n *node.Node) (players, error) {
			switch {
			case bots == 0:
				return nil, nil
			case lobby:
				return matchPlayers{fleet.StartLobby(fleet.LobbyConfig{Gateways: []string{n.UDPAddr()}, Count: bots, Prefix: "bot", Seed: f.game.seed, Play: a.lobby.Play, DialUDP: way.dialer(f.game.seed), Logger: a.log})}, nil
			}
			all, err := fleet.Start(ctx, fleet.Config{Addrs: []string{n.UDPAddr()}, Count: bots, Prefix: "bot", Seed: f.game.seed, NewBot: a.bot, DialUDP: way.dialer(f.game.seed), Logger: a.log})
			if err != nil {
				return nil, err
			}
			return shardPlayers{all}, nil
		})
	})
	return c
}

// players are the bots that play along.
type players interface {
	report(*nodeResult)
	Close()
}

// shardPlayers play in the node's shard.
type shardPlayers struct{ *fleet.Fleet }

func (p shardPlayers) report(r *nodeResult) {
	s := p.Stats()
	r.Bots, r.Clients = &s, s.Clients
}

// matchPlayers play in rooms.
type matchPlayers struct{ *fleet.Lobby }

func (p matchPlayers) report(r *nodeResult) {
	s := p.Stats()
	r.Lobby = &s
}

// devConfig returns the configuration of a node that runs the shard and an instance of each of the services.
func (a *app) devConfig(f *nodeFlags, services []node.Service, scripts string) (node.Config, error) {
	config, err := f.config(a)
	if err == nil {
		err = f.admits()
	}
	if err != nil {
		return config, err
	}
	config.Insist = true
	if err := a.withScripts(&config, services, scripts); err != nil {
		return config, err
	}
	return config, a.checkServices(config.Scripts)
}

// withScripts adds services, with the scripts in a folder or, for "", those of the binary.
func (a *app) withScripts(config *node.Config, services []node.Service, folder string) error {
	config.Services, config.Scripts, config.Watch = services, a.scripts, a.scriptDir
	if len(services) == 0 && a.lobby != nil && folder == "" {
		config.Scripts, config.Watch = nil, "" // they are the lobby's
		return nil
	}
	if folder != "" {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return fmt.Errorf("--scripts %s is not a folder", folder)
		}
		config.Scripts, config.Watch = os.DirFS(folder), folder
	} else if a.scriptDir != "" {
		config.Scripts = os.DirFS(a.scriptDir)
	}
	return nil
}

// nodeResult is the result that dev and serve print when they end.
type nodeResult struct {
	Shard         string            `json:"shard"`
	Node          string            `json:"node"`
	Game          string            `json:"game"`
	TickRate      int               `json:"tick_rate"`
	Ticks         uint64            `json:"ticks"`
	Committed     uint64            `json:"committed"`
	TickMS        shard.Quantiles   `json:"tick_ms"`
	CommitMS      shard.Quantiles   `json:"commit_ms"`
	MaxDebt       int               `json:"max_debt"`
	Skipped       uint64            `json:"skipped"` // ticks whose time was skipped
	Clients       int               `json:"clients"`
	Inputs        uint64            `json:"inputs"`
	InputsLate    uint64            `json:"inputs_late"`
	InputsMissed  uint64            `json:"inputs_repeated"`
	BytesOut      float64           `json:"bytes_out_per_client_s"`
	BytesIn       float64           `json:"bytes_in_per_client_s"`
	Entities      int               `json:"entities"`
	Epoch         uint64            `json:"epoch"`
	LastSeq       uint64            `json:"last_seq"`
	Tick          uint64            `json:"tick"`
	Checksum      string            `json:"checksum"`
	RecoveredTick uint64            `json:"recovered_tick"`
	DeltasLost    uint64            `json:"deltas_lost"`
	Snapshots     uint64            `json:"snapshots"`
	Data          string            `json:"data,omitempty"`
	Events        map[string]uint64 `json:"events,omitempty"`
	Failures      map[string]uint64 `json:"failures,omitempty"` // of systems and commands in committed ticks, by name
	Bots          *fleet.Stats      `json:"bots,omitempty"`
	End           *room.End         `json:"end,omitempty"` // how the shard has ended; absent: it goes on
	Lobby         *fleet.MatchStats `json:"lobby,omitempty"`
	Rooms         *roomsResult      `json:"rooms,omitempty"` // absent: it hosted none
}

// roomsResult is what a node's rooms did.
type roomsResult struct {
	Hosted  int    `json:"hosted"`  // at the end
	Ended   uint64 `json:"ended"`   // here
	Ticks   uint64 `json:"ticks"`   // of all of them
	Late    uint64 `json:"late"`    // of these, the ones simulated a tick or more after they were due
	Skipped uint64 `json:"skipped"` // ticks whose time was skipped
}

// runNode starts a node, calls join to add clients, and runs for span (0: until interrupted or until this node no longer
// runs the shard). If the shard stopped unasked, it returns the cause.
func (a *app) runNode(ctx context.Context, config node.Config, f *nodeFlags, span time.Duration, join func(context.Context, *node.Node) (players, error)) error {
	config.Patience = span
	n, err := node.Start(ctx, config)
	if err != nil {
		return a.unstarted(err)
	}
	a.announce(n, f, config.TLS)
	running, cancel := context.WithCancel(ctx) // also ends when this node no longer runs the shard
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() {
		select {
		case <-n.Done():
			cancel()
		case <-running.Done():
		}
	})
	beside.Go(func() {
		tuneGC(running, f.shard == "", func() hosting { hosted, returning := n.Hosting(); return hosting{hosted > 0, returning} })
	})
	if span > 0 {
		beside.Go(func() { giveUp(running, n, span, cancel) })
	}
	joining, joined := running, context.CancelFunc(func() {})
	if span > 0 {
		joining, joined = context.WithTimeout(running, max(span, leastJoin))
	}
	bots, err := join(joining, n)
	joined()
	if err != nil {
		matters := n.Stats().Conditions
		if stopErr := n.Stop(); errors.Is(stopErr, shard.ErrEnded) {
			return a.over(n, resultOf(n, f), stopErr)
		} else if stopErr != nil {
			err = stopErr // the reason that nobody could join
		} else if i := slices.IndexFunc(matters, func(c shard.Condition) bool { return c.Stops }); i >= 0 && ctx.Err() == nil {
			err = notServed(matters[i])
		}
		return found(err)
	}
	stopStatus := a.showStatus(n, f.shard != "")
	pause(running, span)
	stopStatus()
	result := resultOf(n, f)
	if bots != nil {
		bots.report(&result)
		bots.Close()
	}
	matters := n.Stats().Conditions
	err = n.Stop()
	if errors.Is(err, shard.ErrEnded) {
		return a.over(n, result, err)
	}
	result.settle(n)
	if i := slices.IndexFunc(matters, func(c shard.Condition) bool { return c.Stops }); i >= 0 && err == nil && ctx.Err() == nil {
		err = notServed(matters[i]) // the span is over, nobody asked for a stop
	}
	if errors.Is(err, shard.ErrOtherOptions) {
		return fmt.Errorf("%w: start it without that option, or start a new shard with --shard or --data", err)
	}
	if result.Ticks > 0 || err == nil {
		if printErr := a.print(result, nodeLines(result)...); err == nil {
			err = printErr
		}
	}
	return found(err)
}

// over prints the result of a shard that is over, as err says. It returns nil if the shard ended here, and how to begin another if it
// had ended before this start.
func (a *app) over(n *node.Node, r nodeResult, err error) error {
	r.settle(n)
	r.End = n.End()
	printed := a.print(r, nodeLines(r)...)
	if r.Ticks == 0 {
		return fmt.Errorf("shard %s is over and its log sealed: begin another with --shard or --data, or look at this one with wind replay (%w)", r.Shard, err)
	}
	return printed
}

// leastJoin is the least time that bots get to join, however short their span of play.
const leastJoin = 15 * time.Second

// notServed is the error of a verb whose time is over while condition c keeps the shard from being served.
func notServed(c shard.Condition) error {
	return fmt.Errorf("at the end the shard is not served: %s", c.Text)
}

// giveUp ends the wait for bots that cannot join: it calls end once span is over and a condition keeps the shard from being
// served.
func giveUp(ctx context.Context, n *node.Node, span time.Duration, end func()) {
	for wait := span; ; wait = 500 * time.Millisecond {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if !shard.Healthy(n.Stats().Conditions) {
			end()
			return
		}
	}
}

// unstarted returns the verb's error for a node that did not start: nil if a signal stopped it while it waited for its
// servers.
func (a *app) unstarted(err error) error {
	if errors.Is(err, node.ErrInterrupted) {
		a.log.Info("the node was stopped while it waited", "reason", err)
		return nil
	}
	return found(err)
}

// announce prints where clients connect and how to inspect the node.
func (a *app) announce(n *node.Node, f *nodeFlags, pair *cert.Pair) {
	say := func(what, where, how string) {
		if where != "" {
			a.tell("  %-10s %-32s %s", what, where, how)
		}
	}
	what := "rooms"
	if f.shard != "" {
		what = "shard " + f.shard
	}
	a.tell("game %s, %s, %s per second", a.game.Name, what, plural(rateOf(n), "tick"))
	for _, line := range clientLines(n.UDPAddr(), n.TCPAddr(), pair) {
		say(line[0], line[1], line[2])
	}
	if id := n.GatewayID(); id != "" {
		say("gateway", id, "the same addresses accept requests to services (RPC)")
	}
	for _, i := range n.Instances() {
		say("service", i.Type, "instance "+i.ID+": wind call "+i.Type+" MESSAGE JSON")
	}
	if len(n.Instances()) > 0 {
		say("scripts", n.Watched(), "save a file there to reload its functions")
	}
	if n.HTTPAddr() != "" {
		say("web", scheme("ws", pair)+n.HTTPAddr()+"/ws", "the same over WebSocket")
		say("state", scheme("http", pair)+n.HTTPAddr()+"/healthz", "and /metrics")
	}
	if i := n.Infra(); i != nil {
		say("log", i.ReaderURL(), "NATS, read-only: wind log tail --follow")
		say("leases", i.EtcdURL(), "etcd: wind shard list")
		say("data", f.data, "replay the match, even while it runs: wind replay --verify")
	}
}

// clientLines are the lines of announce about the addresses for clients; each address may be "".
func clientLines(udp, tcp string, pair *cert.Pair) (lines [][3]string) {
	label := "clients"
	if udp != "" {
		lines = append(lines, [3]string{label, udp, "UDP (KCP and datagrams): wind bots --addr " + udp})
		label = ""
	}
	if tcp != "" {
		how := "TCP: wind bots --transport tcp --addr " + tcp
		if udp != "" {
			how = "TCP, the same frames"
		}
		if pair != nil {
			how = "TCP with TLS 1.3: wind bots --transport tcp --addr " + tcp + " --tls-pin " + pair.Fingerprint()
		}
		lines = append(lines, [3]string{label, tcp, how})
	}
	return lines
}

// scheme returns the scheme of a URL, with an s if there is a certificate.
func scheme(name string, pair *cert.Pair) string {
	if pair != nil {
		name += "s"
	}
	return name + "://"
}

// rateOf returns the ticks per second of the node's shard.
func rateOf(n *node.Node) int {
	return cmp.Or(n.Stats().Host.TickRate, n.Game().TickRate)
}

func resultOf(n *node.Node, f *nodeFlags) nodeResult {
	s := n.Stats()
	r := nodeResult{Shard: f.shard, Game: n.Game().Name, Node: n.ID(), TickRate: rateOf(n), Clients: s.Clients.Clients}
	if n.Infra() != nil {
		r.Data = f.data
	}
	if x := n.RoomStats(); f.shard == "" || x.Ticks > 0 {
		r.Rooms = &roomsResult{Hosted: x.Hosted}
	}
	return r
}

// settle fills in the numbers that are final only after the stop.
func (r *nodeResult) settle(n *node.Node) {
	s := n.Stats()
	h, c := s.Host, s.Clients
	r.Ticks, r.Committed, r.Tick, r.TickMS, r.CommitMS, r.MaxDebt, r.Skipped = h.Ticks, h.Committed, h.Tick, h.TickMS, h.CommitMS, h.MaxDebt, h.Skipped
	r.Inputs, r.InputsLate, r.InputsMissed = c.Inputs, c.InputsLate, c.InputsRepeated
	r.BytesOut, r.BytesIn = c.PerClientSecond(s.Door.BytesOut), c.PerClientSecond(s.Door.BytesIn)
	r.Entities, r.Epoch, r.LastSeq, r.Checksum = h.Entities, uint64(h.Epoch), uint64(h.LastSeq), fmt.Sprintf("%016x", h.Checksum)
	r.RecoveredTick, r.DeltasLost, r.Snapshots, r.Events = h.RecoveredTick, h.DeltasLost, h.Snapshots, s.Events
	r.Failures = h.Failures
	if r.Rooms != nil {
		x := n.RoomStats()
		r.Rooms.Ended, r.Rooms.Ticks, r.Rooms.Late, r.Rooms.Skipped = x.Ended, x.Ticks, x.Late, x.Skipped
	}
}

func nodeLines(r nodeResult) (lines []string) {
	if r.End != nil && r.Ticks == 0 {
		return []string{endLine("shard "+r.Shard, r.End.Tick, r.End.Reason, r.End.Name, r.End.Result)}
	}
	if r.Shard != "" {
		lines = []string{
			fmt.Sprintf("%s, %d committed, now tick %d (epoch %d, sequence %d, checksum %s)", plural(r.Ticks, "tick"), r.Committed, r.Tick, r.Epoch, r.LastSeq, r.Checksum),
			fmt.Sprintf("tick p50 %.2f ms, p99 %.2f, max %.2f; commit p50 %.2f ms, p99 %.2f, max %.2f", r.TickMS.P50, r.TickMS.P99, r.TickMS.Max, r.CommitMS.P50, r.CommitMS.P99, r.CommitMS.Max),
			fmt.Sprintf("%s, %s, %d late, %.0f bytes out per client and second, %s", plural(r.Clients, "client"), plural(r.Inputs, "input"), r.InputsLate, r.BytesOut, plural(r.Entities, "entity")),
			"events: " + eventsText(r.Events),
		}
	}
	if x := r.Rooms; x != nil {
		lines = append(lines, fmt.Sprintf("%s at the end, %d ended here; all together %s, %d late, %d skipped", plural(x.Hosted, "room"), x.Ended, plural(x.Ticks, "tick"), x.Late, x.Skipped))
	}
	if l := r.Lobby; l != nil {
		lines = append(lines, lobbyLine(*l))
	}
	if len(r.Failures) > 0 {
		lines = append(lines, failuresText(r.Failures))
	}
	if r.End != nil {
		lines = append(lines, endLine("shard "+r.Shard, r.End.Tick, r.End.Reason, r.End.Name, r.End.Result))
	}
	return lines
}

// failuresText says which systems and commands failed, most failures first, and what that meant for their ticks.
func failuresText(failures map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(failures), func(a, b string) int {
		return cmp.Or(cmp.Compare(failures[b], failures[a]), cmp.Compare(a, b))
	})
	var calls []string
	for _, name := range names {
		calls = append(calls, fmt.Sprintf("%s %d", name, failures[name]))
	}
	return "failed systems and commands, with the number of failures: " + strings.Join(calls, ", ") +
		"; their ticks are committed, without what a failed one spawned, despawned, emitted and sent; the log says why"
}
