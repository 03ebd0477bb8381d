package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/rpc"
)

// TrustField trusts a field of the login message, without any proof. Use it for development. In JSON, and in a Protobuf
// message that is compiled in, it finds the field by name. In other Protobuf messages it uses field 1, a string.
func TrustField(field string) Authenticator { return trusting{field} }

type trusting struct{ field string }

func (t trusting) Authenticate(_ context.Context, l Login) (string, error) {
	player, ok := l.text(t.field, 1)
	if !ok || player == "" {
		return "", rpc.Errorf(rpc.InvalidArgument, "%s has no %s", l.Message, t.field)
	}
	return player, nil
}

// SignedLogin accepts a credential that was made with SignLogin by a holder of the key: for example, a game's account
// server after it has checked a password. The login message carries the player in one field and the credential in
// another.
type SignedLogin struct {
	Key []byte // 16 bytes or more
	// PlayerField and PasswordField name the fields; the defaults are player_id and password. SignedLogin finds them as
	// TrustField does; in a message that is not compiled in, the credential is field 2.
	PlayerField, PasswordField string
}

// minLoginKey is the shortest key of a SignedLogin, in bytes.
const minLoginKey = 16

// Authenticate implements Authenticator.
func (a SignedLogin) Authenticate(_ context.Context, l Login) (string, error) {
	if len(a.Key) < minLoginKey {
		return "", rpc.Errorf(rpc.Internal, "the gateway has no key for logins")
	}
	name := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	player, ok := l.text(name(a.PlayerField, "player_id"), 1)
	credential, signed := l.text(name(a.PasswordField, "password"), 2)
	if !ok || !signed {
		return "", rpc.Errorf(rpc.Unauthenticated, "%s needs a player and a credential", l.Message)
	}
	b, err := base64.RawURLEncoding.DecodeString(credential)
	if err != nil || len(b) != 8+sha256.Size || !hmac.Equal(b[8:], loginMAC(a.Key, player, b[:8])) {
		return "", rpc.Errorf(rpc.Unauthenticated, "the credential does not belong to this player")
	}
	if time.Now().Unix() > int64(binary.LittleEndian.Uint64(b)) {
		return "", rpc.Errorf(rpc.Unauthenticated, "the credential has expired")
	}
	return player, nil
}

// SignLogin makes a player's credential for SignedLogin: base64url(expiry u64 LE, seconds since 1970 | HMAC-SHA256(key,
// "wind login" | expiry | player)), without padding.
func SignLogin(key []byte, player string, expires time.Time) string {
	b := binary.LittleEndian.AppendUint64(nil, uint64(expires.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, loginMAC(key, player, b)...))
}

func loginMAC(key []byte, player string, expiry []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("wind login"))
	mac.Write(expiry)
	mac.Write([]byte(player))
	return mac.Sum(nil)
}

// Text returns a string field of the login message by name. It returns false if the message has no such field, or is a
// Protobuf message that the gateway does not know.
func (l *Login) Text(field string) (string, bool) {
	if l.Format != rpc.JSON && l.Descriptor == nil {
		return "", false
	}
	return l.text(field, 0)
}

// text returns a string field of the login message: by name, or by number in a Protobuf message without a known
// descriptor.
func (l *Login) text(field string, number protowire.Number) (string, bool) {
	if l.Format == rpc.JSON {
		return l.jsonText(field)
	}
	if l.Descriptor != nil {
		f := l.Descriptor.Fields().ByName(protoreflect.Name(field))
		if f == nil || f.Kind() != protoreflect.StringKind || f.Cardinality() == protoreflect.Repeated {
			return "", false
		}
		number = f.Number()
	}
	return wireText(l.Payload, number)
}

func (l *Login) jsonText(field string) (string, bool) {
	var m map[string]json.RawMessage
	if json.Unmarshal(l.Payload, &m) != nil {
		return "", false
	}
	raw, ok := m[field]
	if !ok {
		raw, ok = m[camel(field)] // protojson's own spelling
	}
	var s string
	if !ok || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// camel returns a field's name as protojson writes it.
func camel(field string) string {
	parts := strings.Split(field, "_")
	for i, p := range parts {
		if i > 0 && p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}

// wireText returns the last occurrence of a length-delimited field as a string. It returns false if one is not UTF-8.
func wireText(b []byte, number protowire.Number) (s string, ok bool) {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return "", false
		}
		b = b[size:]
		if n == number && kind == protowire.BytesType {
			v, size := protowire.ConsumeBytes(b)
			if size < 0 || !utf8.Valid(v) {
				return "", false
			}
			s, ok, b = string(v), true, b[size:]
			continue
		}
		if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
			return "", false
		}
		b = b[size:]
	}
	return s, ok
}
