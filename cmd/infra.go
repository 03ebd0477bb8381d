package cmd

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
)

func (a *app) infra() *cobra.Command {
	var data string
	var embedded embeddedFlags
	var span time.Duration
	c := &cobra.Command{
		Use:   "infra",
		Short: "Run embedded NATS and etcd servers alone, to try several nodes",
		Long: `Starts NATS with JetStream and etcd on the loopback, prints their URLs, and runs until it is interrupted. The NATS URL
contains the nodes' password; without it, clients may only read. Use it to try several nodes on one machine; a cluster needs
servers of its own.

service, gateway and the verbs that look at a cluster find the URLs with the same --data; serve takes --nats and --etcd.`,
		Example: "  wind infra --data ./infra-data\n  wind gateway --game speak --data ./infra-data",
	}
	c.Flags().StringVar(&data, "data", "./wind-data", "folder of the servers' data")
	embedded.add(c.Flags())
	spanFlag(c.Flags(), &span, "how long to run")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) (err error) {
		if err := embedded.ports().check(tlsFlags{}); err != nil {
			return err
		}
		d, i, err := node.OpenInfra(ctx, data, node.InfraConfig{Embedded: embedded.config(), Fast: true, Logger: a.log}, func(error) {})
		if err != nil {
			return a.unstarted(err)
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		defer func() { err = errors.Join(err, i.Close()) }()
		if err := a.print(map[string]string{"nats": i.NATSURL(), "etcd": i.EtcdURL(), "data": data},
			"nats  "+i.NATSURL(), "etcd  "+i.EtcdURL()); err != nil {
			return err
		}
		running, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-i.Etcd.Dead():
				cancel()
			case <-running.Done():
			}
		}()
		pause(running, span)
		select {
		case <-i.Etcd.Dead():
			return i.Etcd.Err()
		default:
			return nil
		}
	})
	return c
}
