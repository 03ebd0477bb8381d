package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

func TestQuantilesAreWithinABucket(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	var h, other histogram
	var all []float64
	for i := range 100_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		all = append(all, float64(d)/1e3)
		if i%2 == 0 {
			h.add(d)
		} else {
			other.add(d)
		}
	}
	h.merge(&other)
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))]
		if got := h.at(q); got > want || got < want*(1-1.0/64)-0.002 {
			t.Errorf("quantile %v is %v µs, want %v", q, got, want)
		}
	}
	if h.count != 100_000 || float64(h.max)/1e3 != all[len(all)-1] {
		t.Errorf("%d times, the longest %v", h.count, h.max)
	}
	for i := 1; i < histogramSize; i++ {
		if bucketOf(bottomOf(i)) != i || bucketOf(bottomOf(i)-1) != i-1 {
			t.Fatalf("bucket %d starts at %d, which is in bucket %d", i, bottomOf(i), bucketOf(bottomOf(i)))
		}
	}
	if bucketOf(1<<64-1) >= histogramSize {
		t.Error("the longest time has no bucket")
	}
}

// echoGateway answers calls as a gateway would, in reverse order for calls that came together; every tenth call with
// content "fail" fails.
func echoGateway(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { defer c.Close(); answerCalls(c) })
		}
	})
	t.Cleanup(func() { l.Close(); group.Wait() })
	return l.Addr().String()
}

func answerCalls(c net.Conn) {
	r := bufio.NewReader(c)
	var answers [][]byte
	for calls := 0; ; calls++ {
		id, body, err := readFrame(r)
		if err != nil {
			return
		}
		answer := []byte(nil)
		switch {
		case id == wirepb.IDOpen:
			answer = frame.AppendMessage(nil, wirepb.IDOpened, &wirepb.Opened{Gateway: "g"})
			// A push between answers belongs to no request.
			answer = frame.AppendMessage(answer, 1006, &speakpb.SpeakOnWorldResponse{Content: "push"})
		case calls%10 == 9 && strings.Contains(string(body), "fail"):
			fault, _ := proto.Marshal(&wirepb.Fault{Code: 13, Text: "no"})
			answer = frame.Append(nil, wirepb.IDFault|wirepb.IDCall, append(slices.Clone(body[:4]), fault...))
		default:
			answer = frame.Append(nil, id+1, append(slices.Clone(body[:4]), body[8:]...))
		}
		answers = append(answers, answer)
		if r.Buffered() > 0 {
			continue
		}
		slices.Reverse(answers)
		if _, err := c.Write(slices.Concat(answers...)); err != nil {
			return
		}
		answers = nil
	}
}

func windWire(content string) func(int) Wire {
	return func(int) Wire {
		return &WindWire{Login: &speakpb.PlayerLoginRequest{PlayerId: "p"}, Request: &speakpb.SpeakOnWorldRequest{Content: content}}
	}
}

func TestLoadCountsEveryAnswer(t *testing.T) {
	addr := echoGateway(t)
	for _, depth := range []int{1, 16} {
		r, err := Load(context.Background(), LoadOptions{Addr: addr, Connections: 4, Depth: depth, For: 200 * time.Millisecond, Wire: windWire("x")})
		if err != nil {
			t.Fatal(err)
		}
		if r.Requests == 0 || r.Failed != 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 || r.PerSecond != float64(r.Requests)/r.Seconds {
			t.Errorf("depth %d: %+v", depth, r)
		}
	}
	r, err := Load(context.Background(), LoadOptions{Addr: addr, Connections: 1, Depth: 1, For: 200 * time.Millisecond, Wire: windWire("fail")})
	if err != nil || r.Failure != "code 13: no" || r.Failed < r.Requests/10 || r.Failed > r.Requests/5+1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLoadEndsWithWhatWentWrong(t *testing.T) {
	addr := echoGateway(t)
	if _, err := Load(context.Background(), LoadOptions{Addr: addr, Connections: 1, Depth: 2000, For: time.Second}); err == nil {
		t.Error("a depth of 2000 was accepted")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Load(ctx, LoadOptions{Addr: addr, Connections: 1, Depth: 1, For: time.Minute, Wire: windWire("x")}); err != context.DeadlineExceeded {
		t.Errorf("error %v", err)
	}
	wrong := func(int) Wire { return &wrongWire{} }
	if _, err := Load(context.Background(), LoadOptions{Addr: addr, Connections: 1, Depth: 1, For: time.Minute, Wire: wrong}); err == nil || !strings.Contains(err.Error(), "request 9, which was not sent") {
		t.Errorf("error %v", err)
	}
}

// wrongWire answers a request that was never sent.
type wrongWire struct{}

func (*wrongWire) Open(io.Writer, *bufio.Reader) error { return nil }
func (*wrongWire) Append(b []byte, n uint32) []byte    { return binary.LittleEndian.AppendUint32(b, n) }
func (*wrongWire) Next(*bufio.Reader) (uint32, error)  { return 9, nil }
