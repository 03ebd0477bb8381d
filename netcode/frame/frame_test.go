package frame

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/wirepb"
)

// golden reads testdata/golden.hex: lines of "name hex", # starts a comment.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.hex")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key == name {
			b, err := hex.DecodeString(strings.ReplaceAll(value, " ", ""))
			if err != nil {
				t.Fatalf("golden %s: %v", name, err)
			}
			return b
		}
	}
	t.Fatalf("no golden bytes named %s", name)
	return nil
}

func TestBytesAreGolden(t *testing.T) {
	cookie := []byte("abcdefghijklmnopqrst")
	for name, got := range map[string][]byte{
		"frame-ping":      AppendMessage(nil, wirepb.IDPing, &wirepb.Ping{Time: 0x0102030405060708}),
		"frame-heartbeat": Append(nil, 101, []byte{8, 1}),
		"frame-command":   AppendMessage(nil, wirepb.IDCommand, &wirepb.Command{Seq: 3, Kind: 2, Payload: []byte{0xAA, 0xBB}}),
		"datagram-ack":    append(AppendMessageHeader(nil, wirepb.IDAck, 0x1122334455667788), 0x0A, 1, 0xFF),
		"knock":           AppendKnock(nil, 0x0A0B0C0D0E0F1011),
		"cookie":          AppendCookie(nil, 0x0A0B0C0D0E0F1011, cookie),
		"gone":            AppendGone(nil, 0xDEADBEEF),
	} {
		if want := golden(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", name, got, want)
		}
	}
}

func TestReaderFindsFramesInPiecesOfAnySize(t *testing.T) {
	var stream []byte
	for i := range 50 {
		stream = Append(stream, uint32(2000+i), bytes.Repeat([]byte{byte(i)}, i*7))
	}
	for _, piece := range []int{1, 3, 8, 9, 1000, len(stream)} {
		r, n := NewReader(400), 0
		for rest := stream; len(rest) > 0; {
			k := min(piece, len(rest))
			r.Feed(rest[:k])
			rest = rest[k:]
			for {
				id, payload, ok, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				if id != uint32(2000+n) || !bytes.Equal(payload, bytes.Repeat([]byte{byte(n)}, n*7)) {
					t.Fatalf("pieces of %d: frame %d came as id %d with %d bytes", piece, n, id, len(payload))
				}
				n++
			}
		}
		if n != 50 || r.Buffered() != 0 {
			t.Errorf("pieces of %d: %d frames, %d bytes left", piece, n, r.Buffered())
		}
	}
}

func TestReaderRefusesWhatIsAnnouncedTooLarge(t *testing.T) {
	r := NewReader(10)
	r.Feed(Append(nil, 1, make([]byte, 10)))
	if _, _, ok, err := r.Next(); !ok || err != nil {
		t.Fatalf("10 bytes of 10: ok %v, %v", ok, err)
	}
	r.Feed([]byte{7, 0, 0, 0x80, 0xFF, 0xFF, 0xFF, 0xFF}) // a call
	var large *TooLargeError
	if _, _, _, err := r.Next(); !errors.As(err, &large) || large.ID != 7|1<<31 || large.Length != 0xFFFFFFFF || !strings.Contains(err.Error(), "message 7 ") {
		t.Fatalf("got %v", err)
	}
	r.Feed(Append(nil, 1, nil))
	if _, _, _, err := r.Next(); err == nil {
		t.Error("the reader continued after an error")
	}
}

func TestShortKnockIsNoKnock(t *testing.T) {
	for n := range KnockSize {
		if _, _, body, ok := ParseDatagram(AppendKnock(nil, 1)[:n]); ok {
			if _, ok := ParseKnock(body); ok {
				t.Fatalf("a knock of %d bytes was taken; the answer has %d", n, DatagramHeader+8+CookieSize)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(Append(Append(nil, 101, nil), 2005, []byte("payload")), 3)
	f.Add([]byte{1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		const max = 64
		if piece < 1 {
			piece = 1
		}
		r := NewReader(max)
		var again []byte
		for rest := stream; len(rest) > 0; {
			k := min(piece, len(rest))
			r.Feed(rest[:k])
			rest = rest[k:]
			for {
				id, payload, ok, err := r.Next()
				if err != nil {
					if !bytes.HasPrefix(stream, again) {
						t.Fatal("frames before the error are not what was sent")
					}
					return
				}
				if !ok {
					break
				}
				again = Append(again, id, payload)
			}
			if r.Buffered() > HeaderSize+max {
				t.Fatalf("%d bytes buffered for a frame of at most %d", r.Buffered(), max)
			}
		}
		if !bytes.HasPrefix(stream, again) || len(again)+r.Buffered() != len(stream) {
			t.Fatalf("%d of %d bytes came back as frames, %d are buffered", len(again), len(stream), r.Buffered())
		}
	})
}

func FuzzDatagram(f *testing.F) {
	f.Add(AppendKnock(nil, 7))
	f.Add(AppendCookie(nil, 7, make([]byte, CookieSize)))
	f.Add(AppendGone(nil, 7))
	f.Add(append(AppendMessageHeader(nil, 2009, 7), 1, 2, 3))
	f.Fuzz(func(t *testing.T, packet []byte) {
		kind, id, body, ok := ParseDatagram(packet)
		if !ok {
			return
		}
		switch kind {
		case DatagramMessage:
			if session, payload, ok := ParseMessage(body); ok {
				if again := append(AppendMessageHeader(nil, id, session), payload...); !bytes.Equal(again, packet) {
					t.Fatalf("%x became %x", packet, again)
				}
			}
		case DatagramCookie:
			if nonce, cookie, ok := ParseCookie(body); ok && !bytes.Equal(AppendCookie(nil, nonce, cookie)[8:], packet[8:]) {
				t.Fatal("cookie does not survive")
			}
		case DatagramKnock:
			ParseKnock(body)
		case DatagramGone:
			ParseGone(body)
		}
	})
}
