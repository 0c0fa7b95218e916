"""Writes a model's id into a serialized protobuf message without knowing its type."""

from __future__ import annotations

from collections.abc import Sequence

_BYTES, _END = 2, 4
"""Wire types of fields with a length, and of the end of a group."""


class Malformed(ValueError):
    """The bytes are no protobuf message, or another kind of field stands at the path."""


def inject(message: bytes, path: Sequence[int], value: bytes) -> bytes:
    """``message`` with ``value`` as the string at ``path``, field numbers from the outermost message in.

    The first such field is replaced and the lengths around it adjusted; one that is absent, or an absent message
    around it, is added at the end. Every other byte stays as it is. Raises Malformed.
    """
    field, inner = path[0], path[1:]
    at = 0
    while at < len(message):
        tag, start = _varint(message, at)
        if tag >> 3 != field:
            at = _skip(message, start, tag)
            continue
        if tag & 7 != _BYTES:
            raise Malformed(f"field {field} is no string or message")
        length, start = _varint(message, start)
        end = start + length
        if end > len(message):
            raise Malformed("a field is longer than its message")
        content = inject(message[start:end], inner, value) if inner else value
        return message[:at] + _field(field, content) + message[end:]
    return message + _field(field, inject(b"", inner, value) if inner else value)


def _field(number: int, content: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(content)) + content


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
    raise Malformed("a number does not end")


def _skip(message: bytes, start: int, tag: int) -> int:
    """Where the field after the one at ``start`` begins."""
    match tag & 7:
        case 0:
            _, end = _varint(message, start)
        case 1:
            end = start + 8
        case 2:
            length, start = _varint(message, start)
            end = start + length
        case 5:
            end = start + 4
        case 3:
            end = start
            while True:
                inner, end = _varint(message, end)
                if inner & 7 == _END:
                    break
                end = _skip(message, end, inner)
        case _:
            raise Malformed(f"no field has wire type {tag & 7}")
    if end > len(message):
        raise Malformed("a field is longer than its message")
    return end
