package netsim

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that sends each packet back, and remembers from where each came.
type echo struct {
	*net.UDPConn
	mu   sync.Mutex
	from []string
}

func startEcho(t *testing.T) *echo {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{UDPConn: conn}
	var group sync.WaitGroup
	group.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			e.mu.Lock()
			if !slices.Contains(e.from, from.String()) {
				e.from = append(e.from, from.String())
			}
			e.mu.Unlock()
			_, _ = conn.WriteToUDPAddrPort(b[:n], from)
		}
	})
	t.Cleanup(func() { conn.Close(); group.Wait() })
	return e
}

func (e *echo) addresses() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.from)
}

// ask sends a packet until it comes back, and returns how long the last attempt took.
func ask(t *testing.T, c net.Conn, text string) time.Duration {
	t.Helper()
	b := make([]byte, 2048)
	for range 100 {
		begun := time.Now()
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			n, err := c.Read(b)
			if err != nil {
				break
			}
			if string(b[:n]) == text {
				return time.Since(begun)
			}
		}
	}
	t.Fatalf("%q never comes back", text)
	return 0
}

func dial(t *testing.T, address string) net.Conn {
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestARelayCarriesPacketsAndTakesItsTime(t *testing.T) {
	e := startEcho(t)
	r, err := Listen(e.LocalAddr().String(), Conditions{RTT: 40 * time.Millisecond}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	for i := range 3 {
		if took := ask(t, dial(t, r.Addr().String()), fmt.Sprint("hello ", i)); took < 40*time.Millisecond {
			t.Errorf("a round trip took %v, want 40 ms or more", took)
		}
	}
	if n := e.addresses(); n != 3 {
		t.Errorf("the server sees %d addresses, want one for each client", n)
	}
	if n := r.Counts(); n.Sent < 6 || n.Lost > 0 {
		t.Errorf("%+v", n)
	}
}

func TestARelayIsCutChangedAndRebound(t *testing.T) {
	e := startEcho(t)
	r, err := Listen(e.LocalAddr().String(), Conditions{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	c := dial(t, r.Addr().String())
	ask(t, c, "first")

	r.Cut(true)
	c.Write([]byte("into the cut"))
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes came through the cut, %v", n, err)
	}
	r.Cut(false)
	ask(t, c, "second")

	before := e.addresses()
	r.Rebind()
	ask(t, c, "third")
	if n := e.addresses(); n != before+1 {
		t.Errorf("the server sees %d addresses after the rebinding, want %d", n, before+1)
	}

	if err := r.Set(Conditions{Loss: 2}); err == nil {
		t.Error("a loss of 200 % was accepted")
	}
	if err := r.Set(Conditions{RTT: 30 * time.Millisecond}); err != nil {
		t.Error(err)
	}
	if took := ask(t, c, "fourth"); took < 30*time.Millisecond {
		t.Errorf("a round trip took %v, want 30 ms or more", took)
	}
}

// TestARelayOutlivesItsServer: while the server is away, what is sent is lost, and no error ends the relay.
func TestARelayOutlivesItsServer(t *testing.T) {
	e := startEcho(t)
	address := e.LocalAddr().(*net.UDPAddr)
	r, err := Listen(address.String(), Conditions{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	c := dial(t, r.Addr().String())
	ask(t, c, "first")
	e.Close()
	for range 5 {
		c.Write([]byte("nobody is there"))
	}
	again, err := net.ListenUDP("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for range 100 { // the first packets may have met the server's absence
		c.Write([]byte("second"))
		again.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		b := make([]byte, 100)
		if n, _, err := again.ReadFromUDP(b); err == nil && string(b[:n]) == "second" {
			return
		}
	}
	t.Error("nothing reaches the server that has come back")
}

func TestADialerGivesEachSocketItsNetwork(t *testing.T) {
	e := startEcho(t)
	d := &Dialer{Conditions: Conditions{RTT: 30 * time.Millisecond, Loss: 0.1}, Seed: 1}
	for i := range 3 {
		c, err := d.Dial(e.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		if took := ask(t, c, fmt.Sprint("hello ", i)); took < 30*time.Millisecond {
			t.Errorf("a round trip took %v, want 30 ms or more", took)
		}
		if c.RemoteAddr().String() != e.LocalAddr().String() {
			t.Errorf("the socket names %v as its other end", c.RemoteAddr())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Dial("nowhere"); err == nil {
		t.Error("an address without a port was dialed")
	}
}
