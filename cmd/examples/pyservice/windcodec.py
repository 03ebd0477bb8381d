"""Messages as dictionaries, to and from JSON (protojson) and, where protoc's Python modules are at hand, Protobuf.

Fields have the names of the schema. A request has all of them: what is absent in JSON is zero, "", False, [] or {}; a
message that is absent is not there, and neither is the one of a oneof. What a request has and its message has not is
refused; in an answer it is ignored, for its sender may be newer.
"""

from __future__ import annotations

import difflib
import json
import re
from types import ModuleType
from typing import Any, Dict, Iterable, List, Optional, Tuple

_NUMBERS = {"int32", "uint32", "sint32", "fixed32", "sfixed32"}
_LONG = {"int64", "uint64", "sint64", "fixed64", "sfixed64"}
_FLOATS = {"float", "double"}


def _scalar(kind: str, value: Any) -> Any:
    """A value of a scalar field, as the kind has it, or CodecError. Numbers may come as strings, as in protojson."""
    if kind in ("string", "bytes"):
        good = isinstance(value, str)
    elif kind == "bool":
        good = isinstance(value, bool)
    elif kind in _NUMBERS or kind in _LONG or kind in _FLOATS:
        good = isinstance(value, (int, float, str)) and not isinstance(value, bool)
        try:
            if good and kind in _LONG:
                return str(int(value))
            if good:
                number = float(value)
                return number if kind in _FLOATS else int(number)
        except (ValueError, OverflowError):
            good = False
    else:
        good = True  # an enum, or what only Protobuf knows
    if not good:
        raise CodecError(f"{str(value)[:40]!r} is no {kind}")
    return value


# What gateways tell services by themselves, in Protobuf: texts alone, numbered from 1.
DISCONNECTED = "PlayerDisconnected"
_WIND: Dict[str, Dict[str, str]] = {DISCONNECTED: {"player": "string", "session": "string"}}


class CodecError(Exception):
    """A payload is not the message that it should be."""


def _camel(name: str) -> str:
    """The name of a field in protojson."""
    return re.sub(r"_+(.?)", lambda m: m.group(1).upper(), name)


def _zero(kind: str) -> Any:
    """What a field is when JSON does not have it; None: it stays absent."""
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


class Codec:
    """The messages of a module that `wind gen --lang python` made, or of one with the same IDS, ANSWERS and FIELDS."""

    def __init__(self, messages: ModuleType, pb2: Iterable[ModuleType] = ()) -> None:
        self.ids: Dict[str, int] = messages.IDS
        self.answers: Dict[str, Optional[str]] = messages.ANSWERS
        self._fields: Dict[str, Dict[str, str]] = {**_WIND, **messages.FIELDS}
        self._types: Dict[str, Any] = {}
        self._json_format: Any = None
        for module in pb2:
            from google.protobuf import json_format  # Debian: python3-protobuf

            self._json_format = json_format
            for name in module.DESCRIPTOR.message_types_by_name:
                self._types[name] = getattr(module, name)

    @property
    def protobuf(self) -> bool:
        """Whether Protobuf is understood, and not JSON alone."""
        return bool(self._types)

    def known(self, message: str) -> None:
        """Raises ValueError for a name that no message has."""
        if message not in self._fields:
            raise ValueError(f"there is no message {message}; there are {', '.join(sorted(self._fields))}")

    def decode(self, message: str, form: str, payload: bytes, *, strict: bool = True) -> Dict[str, Any]:
        """A payload as a dictionary, or CodecError: for what the message is not and, when strict, for unknown fields in JSON."""
        if form == "json":
            try:
                value = json.loads(payload) if payload else {}
                if not isinstance(value, dict):
                    raise CodecError(f"{message} is no JSON object")
                return self._complete(message, value, strict)
            except (ValueError, RecursionError) as e:
                raise CodecError(f"{message} is no JSON: {e}") from None
        if form != "protobuf":
            raise CodecError(f"format {form[:32]!r} is neither json nor protobuf")
        if message in _WIND:
            return _texts(payload, list(_WIND[message]))
        if message not in self._types:
            raise CodecError(f"this service takes {message} in JSON alone")
        try:
            parsed = self._types[message].FromString(payload)
            value = self._json_format.MessageToDict(parsed, preserving_proto_field_name=True)
        except Exception as e:  # the library has several kinds
            raise CodecError(f"{message} is no such message: {e}") from None
        return self._complete(message, value, False)

    def encode(self, message: str, form: str, value: Dict[str, Any]) -> bytes:
        """A dictionary as a payload. Raises ValueError for fields that the message has not."""
        unknown = set(value) - set(self._fields.get(message, value))
        if unknown:
            raise ValueError(f"{message} has no field {', '.join(sorted(unknown))}")
        if form == "json":
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        if message not in self._types:
            raise ValueError(f"{message} can be written in JSON alone")
        return self._json_format.ParseDict(value, self._types[message]()).SerializeToString()

    def _complete(self, message: str, value: Dict[str, Any], strict: bool) -> Dict[str, Any]:
        """Fields by their names in the schema, and all of them."""
        fields = self._fields.get(message)
        if fields is None:
            return value
        if strict:
            _refuse_unknown(message, value, fields)
        result: Dict[str, Any] = {}
        for name, kind in fields.items():
            key, given = _given(value, name)
            if key is None or given is None:
                zero = _zero(kind)
                if zero is not None:
                    result[name] = zero
                continue
            try:
                result[name] = self._nested(kind, given, strict)
            except CodecError as e:
                raise CodecError(f"{message}.{name}: {e}") from None
        return result

    def _nested(self, kind: str, value: Any, strict: bool) -> Any:
        """A field's value, with the messages in it completed."""
        if kind.startswith("list of "):
            if not isinstance(value, list):
                raise CodecError("it is no list")
            return [self._nested(kind[len("list of "):], v, strict) for v in value]
        of = re.match(r"map of \w+ to ", kind)
        if of is not None:
            if not isinstance(value, dict):
                raise CodecError("it is no object")
            return {k: self._nested(kind[of.end():], v, strict) for k, v in value.items()}
        inner = re.match(r"(\w+)\{", kind)
        if inner is None:
            return _scalar(kind.partition(",")[0], value)
        if not isinstance(value, dict):
            raise CodecError("it is no object")
        return self._complete(inner.group(1), value, strict)


def _refuse_unknown(message: str, value: Dict[str, Any], fields: Dict[str, str]) -> None:
    """Raises CodecError for a field that a message has not, with the one that may be meant."""
    names = set(fields) | {_camel(name) for name in fields}
    for key in value:
        if key not in names:
            near = difflib.get_close_matches(key[:64], sorted(names), 1)
            raise CodecError(f"unknown field {json.dumps(key[:64])} of {message}" + (f" (did you mean {near[0]}?)" if near else ""))


def _texts(payload: bytes, names: List[str]) -> Dict[str, Any]:
    """A Protobuf message of texts of less than 128 bytes or so, which is all that Wind's own have."""
    result = dict.fromkeys(names, "")
    at = 0
    try:
        while at < len(payload):
            tag, size, at = payload[at], payload[at + 1], at + 2
            if size >= 0x80:  # two bytes of length are enough
                size, at = size & 0x7F | payload[at] << 7, at + 1
            if tag & 7 != 2 or at + size > len(payload) or size >= 1 << 14:
                raise CodecError("it is no message of texts")
            if 1 <= tag >> 3 <= len(names):
                result[names[(tag >> 3) - 1]] = payload[at:at + size].decode()
            at += size
    except (IndexError, UnicodeDecodeError):
        raise CodecError("it is no message of texts") from None
    return result


def _given(value: Dict[str, Any], name: str) -> Tuple[Optional[str], Any]:
    for key in (name, _camel(name)):
        if key in value:
            return key, value[key]
    return None, None
