"""Converts messages as dictionaries to and from JSON (protojson) and, given protoc's Python modules, Protobuf.

Fields have the names of the schema. A request has all of them: a field absent in JSON is 0, "", False, [] or {}; only an
absent message and an absent member of a oneof stay absent. The codec rejects an unknown field in a request and ignores it
in a received answer, whose sender may be newer. It checks every outgoing message, including a handler's answer, against
its schema: names, kinds and ranges.
"""

from __future__ import annotations

import base64
import difflib
import json
import math
import re
from types import ModuleType
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

_NUMBERS = {"int32": 32, "sint32": 32, "sfixed32": 32, "uint32": -32, "fixed32": -32}  # bits, negative if unsigned
_LONG = {"int64": 64, "sint64": 64, "sfixed64": 64, "uint64": -64, "fixed64": -64}
_FLOATS = {"float", "double"}


def _whole(kind: str, value: Any) -> int:
    """Returns a whole number within the range of its kind, or raises ValueError. Accepts strings too, as protojson does."""
    number = int(value) if isinstance(value, (int, str)) else int(value) if isinstance(value, float) and value.is_integer() else None
    bits = _NUMBERS.get(kind) or _LONG[kind]
    low, high = (-(1 << bits - 1), 1 << bits - 1) if bits > 0 else (0, 1 << -bits)
    if number is None or isinstance(value, bool) or not low <= number < high:
        raise ValueError
    return number


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _float(kind: str, value: Any, outgoing: bool) -> Any:
    """Returns a number within the range of its kind, or raises ValueError. In protojson a number that is not finite is a string."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    number = float(value)
    if math.isfinite(number):
        if kind == "float" and abs(number) > 3.4028235677973366e38:
            raise ValueError
        return number
    text = _NOT_FINITE[str(number)]
    if isinstance(value, str) and value != text or isinstance(value, int) or isinstance(value, float) and not outgoing:
        raise ValueError  # 1e999, for instance, is too large
    return text if outgoing else number


def _scalar(kind: str, value: Any, outgoing: bool) -> Any:
    """Returns the value of a scalar field, or raises CodecError. 64-bit integers are strings, bytes are base64."""
    name, colon, values = kind.partition(": ")
    try:
        if kind == "string" and isinstance(value, str) or kind == "bool" and isinstance(value, bool):
            return value
        if kind == "bytes" and isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if kind == "bytes" and isinstance(value, str):
            base64.b64decode(value.translate(_URLSAFE) + "=" * (-len(value) % 4), validate=True)
            return value
        if kind in _NUMBERS:
            return _whole(kind, value)
        if kind in _LONG:
            return str(_whole(kind, value))
        if kind in _FLOATS:
            return _float(kind, value, outgoing)
        if colon and (value in values.split(" | ") if isinstance(value, str) else _whole("int32", value) is not None):
            return value  # an enum: its value's name or number
    except (ValueError, OverflowError, TypeError):
        pass
    raise CodecError(f"{_short(value)} is not a valid {name}")


def _short(value: Any) -> str:
    """Returns a value as it is written in Python, shortened."""
    return repr(value[:40]) if isinstance(value, (str, bytes)) else repr(value)[:40]


_URLSAFE = str.maketrans("-_", "+/")

# The messages that gateways send on their own, in Protobuf: all fields are strings, numbered from 1.
DISCONNECTED = "PlayerDisconnected"
_WIND: Dict[str, Dict[str, str]] = {DISCONNECTED: {"player": "string", "session": "string"}}


class CodecError(ValueError):
    """A payload or a dictionary does not match its message."""


def _camel(name: str) -> str:
    """Returns the name of a field in protojson."""
    return re.sub(r"_+(.?)", lambda m: m.group(1).upper(), name)


def _zero(kind: str) -> Any:
    """Returns the value of a field that JSON omits; None if it stays absent."""
    if ", one of " in kind:
        return None
    if kind.startswith("list of "):
        return []
    if kind.startswith("map of "):
        return {}
    if kind in ("string", "bytes"):
        return ""
    if kind in _NUMBERS:
        return 0
    if kind in _LONG:
        return "0"
    if kind in _FLOATS:
        return 0.0
    if kind == "bool":
        return False
    enum = re.match(r"\w+: (\w+)", kind)
    return enum.group(1) if enum else None


Messages = Union[ModuleType, Sequence[ModuleType]]


def _merge(into: Dict[str, Any], new: Dict[str, Any]) -> None:
    """Adds the messages of another module."""
    for name, value in new.items():
        if into.setdefault(name, value) != value:
            raise ValueError(f"two modules have different messages {name}: handlers are found by the short name")


class Codec:
    """The codec for the modules generated by `wind gen --lang python`, or others with the same IDS, ANSWERS and FIELDS. One
    module may stand alone. They may share messages, which must not differ."""

    def __init__(self, messages: Messages, pb2: Iterable[ModuleType] = ()) -> None:
        self.ids: Dict[str, int] = {}
        self.answers: Dict[str, Optional[str]] = {}
        self._fields: Dict[str, Dict[str, str]] = dict(_WIND)
        for module in messages if isinstance(messages, (list, tuple)) else [messages]:
            for into, new in ((self.ids, module.IDS), (self.answers, module.ANSWERS), (self._fields, module.FIELDS)):
                _merge(into, new)
        names: Dict[int, str] = {}
        for name, number in self.ids.items():
            if names.setdefault(number, name) != name:
                raise ValueError(f"{names[number]} and {name} both have the id {number}")
        self._types: Dict[str, Any] = {}
        self._json_format: Any = None
        for module in pb2:
            from google.protobuf import json_format  # Debian: python3-protobuf

            self._json_format = json_format
            for name in module.DESCRIPTOR.message_types_by_name:
                self._types[name] = getattr(module, name)

    @property
    def protobuf(self) -> bool:
        """Whether the codec supports Protobuf besides JSON."""
        return bool(self._types)

    def known(self, message: str) -> None:
        """Raises ValueError if the message does not exist."""
        if message not in self._fields:
            near = difflib.get_close_matches(message[:64], sorted(self._fields), 1)
            raise ValueError(f"there is no message {message}" + (f" (did you mean {near[0]}?)" if near else ""))

    def decode(self, message: str, form: str, payload: bytes, *, strict: bool = True) -> Dict[str, Any]:
        """Returns a payload as a dictionary. Raises CodecError if it does not match the message or, when strict, for unknown
        fields in JSON."""
        if form == "json":
            try:
                value = json.loads(payload) if payload else {}
                if not isinstance(value, dict):
                    raise CodecError(f"{message} is not a JSON object")
                return self._complete(message, value, strict)
            except CodecError:
                raise
            except (ValueError, RecursionError) as e:
                raise CodecError(f"{message} is not JSON: {e}") from None
        if form != "protobuf":
            raise CodecError(f"format {form[:32]!r} is neither json nor protobuf")
        if message in _WIND:
            return _texts(payload, list(_WIND[message]))
        if message not in self._types:
            raise CodecError(f"this service takes {message} in JSON only")
        try:
            parsed = self._types[message].FromString(payload)
            value = self._json_format.MessageToDict(parsed, preserving_proto_field_name=True)
        except Exception as e:  # the library raises several kinds
            raise CodecError(f"the payload is not a valid {message}: {e}") from None
        return self._complete(message, value, False)

    def encode(self, message: str, form: str, value: Dict[str, Any]) -> bytes:
        """Returns a dictionary as a payload. Raises CodecError if it does not match the message: an unknown field, a value of
        the wrong kind, a number out of range. Fields that are absent or None are zero."""
        if not isinstance(value, dict):
            raise CodecError(f"{message} must be a dictionary, not {type(value).__name__}")
        value = self._complete(message, value, True, outgoing=True)
        if form == "json":
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        if message not in self._types:
            raise CodecError(f"this service can write {message} in JSON only")
        return self._json_format.ParseDict(value, self._types[message]()).SerializeToString()

    def _complete(self, message: str, value: Dict[str, Any], strict: bool, outgoing: bool = False) -> Dict[str, Any]:
        """Returns the fields by their names in the schema. It fills in absent ones, but not in an outgoing message."""
        fields = self._fields.get(message)
        if fields is None:
            return value
        if strict:
            _refuse_unknown(message, value, fields, outgoing)
        result: Dict[str, Any] = {}
        for name, kind in fields.items():
            key, given = _given(value, name)
            if key is None or given is None:
                zero = None if outgoing else _zero(kind)
                if zero is not None:
                    result[name] = zero
                continue
            try:
                result[name] = self._nested(kind, given, strict, outgoing)
            except CodecError as e:
                raise CodecError(f"{message}.{name}: {e}") from None
        return result

    def _nested(self, kind: str, value: Any, strict: bool, outgoing: bool) -> Any:
        """Returns a field's value with its nested messages completed."""
        if kind.startswith("list of "):
            if not isinstance(value, (list, tuple) if outgoing else list):
                raise CodecError("it is not a list")
            return [self._nested(kind[len("list of "):], v, strict, outgoing) for v in value]
        of = re.match(r"map of (\w+) to ", kind)
        if of is not None:
            if not isinstance(value, dict):
                raise CodecError("it is not an object")
            return {_key(of.group(1), k, outgoing): self._nested(kind[of.end():], v, strict, outgoing) for k, v in value.items()}
        kind = kind.partition(", one of ")[0]
        inner = re.match(r"(\w+)(\{|$)", kind)
        if inner is None or inner.group(1) in _SCALARS:
            return _scalar(kind, value, outgoing)
        if not isinstance(value, dict):
            raise CodecError("it is not an object")
        return self._complete(inner.group(1), value, strict, outgoing)


_SCALARS = {"string", "bytes", "bool", *_NUMBERS, *_LONG, *_FLOATS}


def _key(kind: str, key: Any, outgoing: bool) -> str:
    """Returns a map's key as the string that JSON needs."""
    if kind == "bool" and key in ("true", "false", *((True, False) if outgoing else ())):
        return str(key).lower()
    if kind == "string" and isinstance(key, str):
        return key
    if kind in _NUMBERS or kind in _LONG:
        return str(_scalar(kind, key, outgoing))
    raise CodecError(f"the key {_short(key)} is not a valid {kind}")


def _refuse_unknown(message: str, value: Dict[str, Any], fields: Dict[str, str], outgoing: bool) -> None:
    """Raises CodecError for an unknown field of a message, suggesting the nearest name."""
    names = set(fields) if outgoing else set(fields) | {_camel(name) for name in fields}
    for key in map(str, value):
        if key not in names:
            near = difflib.get_close_matches(key[:64], sorted(names), 1)
            raise CodecError(f"unknown field {json.dumps(key[:64])} of {message}" + (f" (did you mean {near[0]}?)" if near else ""))


def _texts(payload: bytes, names: List[str]) -> Dict[str, Any]:
    """Decodes a Protobuf message that has only string fields below 16 KiB, as all of Wind's own messages do."""
    result = dict.fromkeys(names, "")
    at = 0
    try:
        while at < len(payload):
            tag, size, at = payload[at], payload[at + 1], at + 2
            if size >= 0x80:  # a length has at most two bytes
                size, at = size & 0x7F | payload[at] << 7, at + 1
            if tag & 7 != 2 or at + size > len(payload) or size >= 1 << 14:
                raise CodecError("it is not a message of strings")
            if 1 <= tag >> 3 <= len(names):
                result[names[(tag >> 3) - 1]] = payload[at:at + size].decode()
            at += size
    except (IndexError, UnicodeDecodeError):
        raise CodecError("it is not a message of strings") from None
    return result


def _given(value: Dict[str, Any], name: str) -> Tuple[Optional[str], Any]:
    for key in (name, _camel(name)):
        if key in value:
            return key, value[key]
    return None, None
