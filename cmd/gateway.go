package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/gen"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/cert"
)

// gatewayResult is the result that gateway prints when it ends.
type gatewayResult struct {
	ID       string `json:"id"`
	Sessions uint64 `json:"sessions"`
	Requests uint64 `json:"requests"`
	Faults   uint64 `json:"faults"`
}

func (a *app) gateway() *cobra.Command {
	f, g := &memberFlags{}, &gatewayFlags{}
	var id, tcp, udp string
	var limits limitsFlag
	var secure tlsFlags
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Run a gateway: it logs clients in and forwards their requests to services",
		Long: `Accepts clients over TCP, UDP (KCP) and, with --http, WebSocket (/ws). It logs them in with the game's authenticator
(cmd.WithAuthenticator), binds each player to an instance of each service, forwards requests to it over NATS, and returns
answers and pushes. Run as many gateways as you like: they share the players' bindings in a JetStream bucket.

A gateway learns from the running services which of them handles which message, so a new type of service needs no change here.`,
		Example: "  wind gateway --game speak --data infra-data --tcp 127.0.0.1:50100 --http 127.0.0.1:50180",
	}
	f.add(c.Flags())
	c.Flags().StringVar(&id, "id", "", "this gateway's id (default: gateway- and the node's name)")
	c.Flags().StringVar(&tcp, "tcp", "127.0.0.1:7777", "address for clients over TCP; empty for none")
	c.Flags().StringVar(&udp, "udp", "", "address for clients over UDP (KCP); empty for none")
	g.add(c.Flags())
	limits.add(c.Flags())
	secure.add(c.Flags())
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		if tcp == "" && udp == "" && f.http == "" {
			return usagef("gateway: give --tcp, --udp or --http an address: without one, no client can connect")
		}
		ports := ports{{"--udp", "udp", udp}, {"--tcp", "tcp", tcp}, {"--http", "tcp", f.http}}
		if err := first(ports.check(secure), checkInstance("--id", id)); err != nil {
			return err
		}
		config, err := f.config(a)
		if err != nil {
			return err
		}
		if config.Gateway, err = g.config(ctx, a); err != nil {
			return err
		}
		if err := first(secure.use(&config, a.log), secure.make(&config, f.data, a.log)); err != nil {
			return err
		}
		config.TCP, config.UDP, config.Limits, config.Instance, config.Patience = tcp, udp, limits.limits, id, f.span
		relaxGC()
		n, err := node.Start(ctx, config)
		if err != nil {
			return a.unstarted(err)
		}
		a.announceGateway(n, config.TLS)
		a.await(ctx, n, f.span)
		s := n.GatewayStats()
		err = n.Stop()
		r := gatewayResult{ID: n.GatewayID(), Sessions: s.Opened, Requests: s.Requests, Faults: s.Faults}
		if printErr := a.print(r, fmt.Sprintf("%s, %s, %s", plural(r.Sessions, "session"), plural(r.Requests, "request"), plural(r.Faults, "fault"))); err == nil {
			err = printErr
		}
		return err
	})
	return c
}

// announceGateway prints where the services' clients connect.
func (a *app) announceGateway(n *node.Node, pair *cert.Pair) {
	a.tell("gateway %s", n.GatewayID())
	for _, at := range []struct{ what, addr string }{{"TCP", n.TCPAddr()}, {"UDP (KCP)", n.UDPAddr()}} {
		if at.addr != "" {
			a.tell("  %-10s %s", at.what, at.addr)
		}
	}
	if n.HTTPAddr() != "" {
		a.tell("  %-10s %s%s/ws", "WebSocket", scheme("ws", pair), n.HTTPAddr())
	}
	if pair != nil {
		a.tell("  %-10s %s", "TLS", pair.Fingerprint())
	}
}

// gatewayFlags say how a gateway treats its clients.
type gatewayFlags struct {
	gateway node.Gateway
	protos  gen.Source
	routes  routeTable
	origins hostList
	rate    frameRate
}

func (f *gatewayFlags) add(set *pflag.FlagSet) {
	set.Var(&f.routes, "route", "send a message to a service of this type instead of the one that registered it; repeatable")
	set.Var(&f.rate, "client-rate", "messages per second that one connection may send; -1 removes this limit and those on bytes and on connections per address (default: 2000)")
	set.StringArrayVar(&f.protos.Protos, "proto", nil, "a .proto file of messages that this binary does not contain, to translate them between clients and services of different formats; repeatable")
	set.StringArrayVarP(&f.protos.Include, "include", "I", nil, "folder to search for imports of --proto; repeatable (default: the current one)")
	set.Var(&f.origins, "origin", "host whose web pages may connect, in addition to the gateway's own host, such as *.example.com; repeatable")
}

// config reads the .proto files that the flags name.
func (f *gatewayFlags) config(ctx context.Context, a *app) (*node.Gateway, error) {
	f.gateway.Authenticator, f.gateway.Routes, f.gateway.Origins, f.gateway.Rate = a.auth, f.routes, f.origins, int(f.rate)
	if len(f.protos.Protos) == 0 {
		return &f.gateway, nil
	}
	schema, err := gen.Load(ctx, f.protos)
	if err == nil {
		f.gateway.Files, err = schema.Files()
	}
	if err != nil {
		return nil, fmt.Errorf("--proto: %w", err)
	}
	return &f.gateway, nil
}
