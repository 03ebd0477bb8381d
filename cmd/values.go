package cmd

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/bus"
)

// checkText refuses a text that a flag cannot mean: blanks around it, an empty folder of data, URLs of servers that no client
// can dial. It leaves alone what a game declares, whose own rules apply.
func checkText(f *pflag.Flag, text string) error {
	if f.Value.Type() != "string" || f.Annotations[ofGame] != nil {
		return nil
	}
	switch {
	case text != strings.TrimSpace(text):
		return fmt.Errorf("%q has blanks around it: omit them", text)
	case f.Name == "data" && text == "":
		return errors.New("it is empty: name a folder")
	case f.Name == "nats":
		return checkURLs(text, "nats://127.0.0.1:4222", "nats", "tls", "ws", "wss")
	case f.Name == "etcd":
		return checkURLs(text, "http://127.0.0.1:2379", "http", "https")
	}
	return nil
}

// ofGame is the annotation of the flags that a game declares.
const ofGame = "game"

// checkTexts applies checkText to the flags that the call gives.
func checkTexts(set *pflag.FlagSet) (err error) {
	set.Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok && err == nil && slices.ContainsFunc(list.GetSlice(), func(s string) bool { return strings.TrimSpace(s) == "" }) {
			err = fmt.Errorf("--%s: one of its values is empty", f.Name)
		}
		if cause := checkText(f, f.Value.String()); err == nil && cause != nil {
			err = fmt.Errorf("--%s: %w", f.Name, cause)
		}
	})
	return err
}

// checkURLs refuses a comma-separated list of URLs without a host or of another scheme. It accepts "", which names no server.
func checkURLs(list, example string, schemes ...string) error {
	if list == "" {
		return nil
	}
	for text := range strings.SplitSeq(list, ",") {
		if !isURL(strings.TrimSpace(text), schemes) {
			return fmt.Errorf("%q is not the URL of a server: write %s", withoutPassword(text), example)
		}
	}
	return nil
}

func isURL(text string, schemes []string) bool {
	if !strings.Contains(text, "://") {
		text = schemes[0] + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(u.Hostname(), " \t") {
		return false
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return false
		}
	}
	for _, s := range schemes {
		if u.Scheme == s {
			return true
		}
	}
	return false
}

// Bounds of --lease: what etcd grants, and a silence after which nobody still waits for the owner.
const (
	leastLease = 2 * time.Second
	mostLease  = time.Hour
)

// leaseTime is the value of --lease.
type leaseTime time.Duration

// Set implements pflag.Value.
func (l *leaseTime) Set(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return err
	case d < leastLease:
		return errors.New("it is shorter than 2s, the shortest that etcd grants")
	case d > mostLease:
		return errors.New("it is longer than 1h: nobody would take over from an owner that died")
	}
	*l = leaseTime(d)
	return nil
}

// String implements pflag.Value; pflag shows no default for "".
func (l *leaseTime) String() string {
	if *l == 0 {
		return ""
	}
	return time.Duration(*l).String()
}

// Type implements pflag.Value.
func (l *leaseTime) Type() string { return "duration" }

// nodeName is the value of --node; "" means the default.
type nodeName string

// Set implements pflag.Value.
func (n *nodeName) Set(text string) error {
	if text != "" {
		if err := node.ValidID(text); err != nil {
			return err
		}
	}
	*n = nodeName(text)
	return nil
}

// String implements pflag.Value.
func (n *nodeName) String() string { return string(*n) }

// Type implements pflag.Value.
func (n *nodeName) Type() string { return "name" }

// mostRate is the largest rate and limit that a flag takes: more than any machine can serve.
const mostRate = 1_000_000_000

// frameRate is the value of --client-rate: 0 if it was not given, -1 for no limit.
type frameRate int

// Set implements pflag.Value.
func (r *frameRate) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < -1 || n == 0 || n > mostRate {
		return fmt.Errorf("%q is not a rate: want 1 to %d per second, or -1 for no limit", text, mostRate)
	}
	*r = frameRate(n)
	return nil
}

// String implements pflag.Value; pflag shows no default for "".
func (r *frameRate) String() string {
	if *r == 0 {
		return ""
	}
	return strconv.Itoa(int(*r))
}

// Type implements pflag.Value.
func (r *frameRate) Type() string { return "rate" }

// routeTable is the value of --route: messages and the types of service that get them.
type routeTable map[string]string

// Set implements pflag.Value. The flag may be repeated, and one value may hold several routes.
func (r *routeTable) Set(text string) error {
	if *r == nil {
		*r = routeTable{}
	}
	for one := range strings.SplitSeq(text, ",") {
		message, to, ok := strings.Cut(one, "=")
		if !ok {
			return fmt.Errorf("%q is not MESSAGE=TYPE", one)
		}
		err := first(bus.ValidMessage(message), node.ValidService(to))
		if err != nil {
			return fmt.Errorf("%q: %w", one, err)
		}
		if _, twice := (*r)[message]; twice {
			return fmt.Errorf("%q: %s has a route already: give each message one", one, message)
		}
		(*r)[message] = to
	}
	return nil
}

// String implements pflag.Value.
func (r *routeTable) String() string {
	var all []string
	for message, to := range *r {
		all = append(all, message+"="+to)
	}
	return strings.Join(all, ",")
}

// Type implements pflag.Value.
func (r *routeTable) Type() string { return "MESSAGE=TYPE" }

// hostList is the value of --origin: patterns of hosts.
type hostList []string

// Set implements pflag.Value. The flag may be repeated, and one value may hold several hosts.
func (h *hostList) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		if _, err := path.Match(one, ""); err != nil || one == "" || strings.ContainsAny(one, " \t/@") {
			return fmt.Errorf("%q is not a host: write it without scheme and path, such as example.com, *.example.com or localhost:5173", one)
		}
		*h = append(*h, one)
	}
	return nil
}

// String implements pflag.Value.
func (h *hostList) String() string { return strings.Join(*h, ",") }

// Type implements pflag.Value.
func (h *hostList) Type() string { return "host" }
