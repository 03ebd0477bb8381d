package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/bench"
)

func TestRequestsAreEncodedAsTheProtocolSays(t *testing.T) {
	w := &pitayaWire{route: "room.r.e", body: []byte("ab"), heartbeat: true}
	const want = "03000000" + // the pending answer to a heartbeat
		"0400000e" + "00" + "ac02" + "08" + "726f6f6d2e722e65" + "6162"
	if have := hex.EncodeToString(w.Append(nil, 300)); have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
	if have := hex.EncodeToString(w.Append(nil, 1)); have != "0400000d"+"00"+"01"+"08"+"726f6f6d2e722e65"+"6162" {
		t.Errorf("have %s", have)
	}
}

func TestAnswersAreReadAsTheProtocolSays(t *testing.T) {
	read := func(in string) (uint32, error) {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		return (&pitayaWire{body: []byte("x")}).Next(bufio.NewReader(bytes.NewReader(b)))
	}
	if n, err := read("03000000" + "04000004" + "06" + "017261" + "04000004" + "04" + "ac02" + "78"); n != 300 || err != nil {
		t.Errorf("after a heartbeat and a push: %d, %v", n, err)
	}
	failed := (*bench.FailedError)(nil)
	if n, err := read("04000003" + "24" + "05" + "78"); n != 5 || !errors.As(err, &failed) || failed.Text != `"x"` {
		t.Errorf("an error: %d, %v", n, err)
	}
	for in, want := range map[string]string{
		"05000002" + "6279": "kicked", "04000000": "empty", "04000001" + "04": "without a number", "02000000": "type 2", "04000003" + "04" + "05" + "79": "not its request's", "04ffffff": "16777215 bytes", "0400": "EOF",
	} {
		if _, err := read(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

// TestLoadSpeaksToAServer measures a stand-in server written from the same protocol page, not Pitaya itself.
func TestLoadSpeaksToAServer(t *testing.T) {
	addr := listen(t, func(c net.Conn) { serve(c, typeResponse) })
	wire := func(int) bench.Wire { return &pitayaWire{route: route, body: make([]byte, 64)} }
	r, err := bench.Load(context.Background(), bench.LoadOptions{Addr: addr, Connections: 3, Depth: 16, For: 200 * time.Millisecond, Wire: wire})
	if err != nil || r.Requests == 0 || r.Failed != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// listen serves connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) (addr string) {
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
			group.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); group.Wait() })
	return l.Addr().String()
}

// serve answers requests on a connection with messages of a kind.
func serve(c net.Conn, flags byte) {
	r := bufio.NewReader(c)
	for {
		kind, body, err := readPackage(r)
		if err != nil {
			return
		}
		var answer []byte
		switch kind {
		case packageHandshake:
			const ok = `{"code":200,"sys":{"heartbeat":30,"dict":{},"serializer":"protobuf"}}`
			answer = append(appendPackage(nil, packageHandshake, len(ok)), ok...)
		case packageData: // a number in one byte, then a route
			m := append([]byte{flags, body[1]}, body[3+body[2]:]...)
			answer = append(appendPackage(nil, packageData, len(m)), m...)
		default:
			continue
		}
		if _, err := c.Write(slices.Clone(answer)); err != nil {
			return
		}
	}
}
