package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// dialStream opens a byte stream: TCP, or a WebSocket with binary messages. The
// address of a WebSocket is a URL, or host:port with the path /ws implied.
func dialStream(ctx context.Context, transport Transport, address string, secure *tls.Config) (net.Conn, error) {
	if transport == TCP {
		return dialTLS(ctx, address, secure)
	}
	o := &websocket.DialOptions{CompressionMode: websocket.CompressionDisabled}
	scheme := "ws://"
	if secure != nil {
		scheme = "wss://"
		o.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: secure.Clone(), DisableKeepAlives: true}}
	}
	if !strings.Contains(address, "://") {
		address = scheme + address + "/ws"
	}
	ws, response, err := websocket.Dial(ctx, address, o)
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("%s answered %s: %w", address, response.Status, err)
		}
		return nil, err
	}
	ws.SetReadLimit(-1) // the frame reader has its own limit
	return wsConn{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}, nil
}

// dialTLS opens a TCP connection, with TLS if secure is not nil.
func dialTLS(ctx context.Context, address string, secure *tls.Config) (net.Conn, error) {
	if secure == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
	d := tls.Dialer{Config: secure}
	conn, err := d.DialContext(ctx, "tcp", address)
	if wrong := (tls.RecordHeaderError{}); errors.As(err, &wrong) {
		return nil, fmt.Errorf("%s does not speak TLS: %w", address, err)
	}
	return conn, err
}

// wsConn is a WebSocket that closes without a closing handshake.
type wsConn struct {
	net.Conn
	ws *websocket.Conn
}

func (c wsConn) Close() error { return c.ws.CloseNow() }
