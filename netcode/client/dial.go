package client

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/coder/websocket"
)

// dialStream opens a byte stream: TCP, or a WebSocket with binary messages. The
// address of a WebSocket is a URL, or host:port with the path /ws implied.
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
			return nil, fmt.Errorf("%s answered %s: %w", address, response.Status, err)
		}
		return nil, err
	}
	ws.SetReadLimit(-1) // the frame reader has its own limit
	return wsConn{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}, nil
}

// wsConn is a WebSocket that closes without a closing handshake.
type wsConn struct {
	net.Conn
	ws *websocket.Conn
}

func (c wsConn) Close() error { return c.ws.CloseNow() }
