package service

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// builtins holds the builtins of a service's scripts, except messages and enums, memory, and every.
var builtins = starlark.StringDict{
	"json": jsonModule, "store": storeModule, "room": roomModule, "has": hasField, "setattr": setAttr,
	"call": builtin("call", starCall), "command": builtin("command", starCommand), "tell": builtin("tell", starTell), "push": builtin("push", starPush),
	"broadcast": builtin("broadcast", starBroadcast), "sleep": builtin("sleep", starSleep), "log": builtin("log", starLog),
	"error": builtin("error", starError), "now": builtin("now", starNow), "random": builtin("random", starRandom),
}

// starFunc implements a builtin for the handler of c.
type starFunc func(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)

// builtin makes a builtin of f. It fails at the top of a module, where no handler is running.
func builtin(name string, f starFunc) *starlark.Builtin {
	return starlark.NewBuiltin(name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		c, ok := t.Local(ctxKey).(*Ctx)
		if !ok {
			return nil, fmt.Errorf("%s can be used in handlers, not while a module loads", name)
		}
		return f(c, args, kwargs)
	})
}

// starCall implements call(service, request, id=None, default=…), which returns another service's answer. A failure ends
// the handler unless there is a default.
func starCall(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var to, id string
	var m outgoing
	var otherwise starlark.Value
	if err := starlark.UnpackArgs("call", args, kwargs, "service", &to, "request", &m, "id??", &id, "default?", &otherwise); err != nil {
		return nil, err
	}
	a, err := c.Call(rpc.Address{Type: to, ID: id}, m.message())
	switch {
	case err != nil && otherwise != nil:
		c.s.log.Warn("service: a call failed; its handler continues with the default", "service", to, "error", err)
		return otherwise, nil
	case err != nil:
		return nil, err
	case a == nil:
		return starlark.None, nil
	}
	return starOf(a)
}

// starCommand implements command(shard, name, value={}, default=…), which returns the tick that committed the command. A
// failure ends the handler unless there is a default.
func starCommand(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var shard, name string
	var value, otherwise starlark.Value
	if err := starlark.UnpackArgs("command", args, kwargs, "shard", &shard, "name", &name, "value??", &value, "default?", &otherwise); err != nil {
		return nil, err
	}
	if value == nil {
		value = starlark.NewDict(0)
	}
	b, err := encodeJSON(value)
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	tick, err := c.command(shard, name, b)
	switch {
	case err != nil && otherwise != nil:
		c.s.log.Warn("service: a command failed; its handler continues with the default", "shard", shard, "command", name, "error", err)
		return otherwise, nil
	case err != nil:
		return nil, err
	}
	return starlark.MakeUint64(tick), nil
}

// starOf converts m for scripts.
func starOf(m proto.Message) (starlark.Value, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return toStar(m.ProtoReflect().Descriptor(), b)
}

// starTell implements tell(service, message, id=None, all=False).
func starTell(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var to, id string
	var m outgoing
	var all bool
	if err := starlark.UnpackArgs("tell", args, kwargs, "service", &to, "message", &m, "id??", &id, "all?", &all); err != nil {
		return nil, err
	}
	return starlark.None, c.Tell(rpc.Address{Type: to, ID: id, All: all}, m.message())
}

// starPush implements push(player, message).
func starPush(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var player string
	var m outgoing
	if err := starlark.UnpackArgs("push", args, kwargs, "player", &player, "message", &m); err != nil {
		return nil, err
	}
	return starlark.None, c.Push(player, m.message())
}

// starBroadcast implements broadcast(message), which sends to the clients of all players.
func starBroadcast(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var m outgoing
	if err := starlark.UnpackArgs("broadcast", args, kwargs, "message", &m); err != nil {
		return nil, err
	}
	return starlark.None, c.Broadcast(m.message())
}

// starSleep implements sleep(seconds).
func starSleep(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	d, err := unpackSeconds("sleep", args, kwargs)
	if err != nil {
		return nil, err
	}
	return starlark.None, c.Sleep(d)
}

// unpackSeconds unpacks the only argument, a number of seconds.
func unpackSeconds(name string, args starlark.Tuple, kwargs []starlark.Tuple) (time.Duration, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "seconds", &v); err != nil {
		return 0, err
	}
	return seconds(name, v)
}

func seconds(name string, v starlark.Value) (time.Duration, error) {
	x, ok := starlark.AsFloat(v)
	if !ok || !(x >= 0 && x <= 1e9) {
		return 0, fmt.Errorf("%s: %s is not a number of seconds", name, script.Brief(v))
	}
	return time.Duration(x * float64(time.Second)), nil
}

// maxLogField is how much of a string log shows in a field, in bytes.
const maxLogField = 1000

// starLog implements log(text, **fields).
func starLog(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text string
	if err := starlark.UnpackPositionalArgs("log", args, nil, 1, &text); err != nil {
		return nil, err
	}
	var fields []any
	for _, kv := range kwargs {
		value := script.Brief(kv[1])
		if s, ok := starlark.AsString(kv[1]); ok {
			value = s[:min(len(s), maxLogField)]
		}
		fields = append(fields, string(kv[0].(starlark.String)), value)
	}
	if text, ok := c.lines.Next(text); ok {
		c.s.own.Info(text, fields...)
	}
	return starlark.None, nil
}

// starError implements error(code, text), which ends the handler and fails its request.
func starError(_ *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name, text string
	if err := starlark.UnpackArgs("error", args, kwargs, "code", &name, "text", &text); err != nil {
		return nil, err
	}
	code, err := rpc.CodeNamed(name)
	if err != nil {
		return nil, fmt.Errorf("error: %w", err)
	}
	return nil, rpc.Errorf(code, "%s", text)
}

// starNow implements now(), which returns the seconds since 1970 as a float.
func starNow(_ *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("now", args, kwargs); err != nil {
		return nil, err
	}
	return starlark.Float(float64(time.Now().UnixMicro()) / 1e6), nil
}

// starRandom implements random(), which returns a float in [0, 1), and random(n), which returns an int in [0, n).
func starRandom(_ *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var n int64
	if err := starlark.UnpackArgs("random", args, kwargs, "n?", &n); err != nil {
		return nil, err
	}
	switch {
	case n < 0:
		return nil, errors.New("random: n is negative")
	case n == 0:
		return starlark.Float(rand.Float64()), nil
	}
	return starlark.MakeInt64(rand.Int64N(n)), nil
}
