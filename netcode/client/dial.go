package client

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/coder/websocket"
)

// dialStream opens a byte stream: TCP, or a WebSocket with binary messages. A
// WebSocket's address is host:port, for the path /ws there, or a URL.
func dialStream(ctx context.Context, transport Transport, address string) (net.Conn, error) {
	if transport == TCP {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
	if !strings.Contains(address, "://") {
		address = "ws://" + address + "/ws"
	}
	ws, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("%s answers %s: %w", address, response.Status, err)
		}
		return nil, err
	}
	ws.SetReadLimit(-1) // frames have a limit of their own
	return wsConn{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}, nil
}

// wsConn is a WebSocket that closes at once.
type wsConn struct {
	net.Conn
	ws *websocket.Conn
}

func (c wsConn) Close() error { return c.ws.CloseNow() }
