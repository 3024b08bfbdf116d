"""Strict JSON in, canonical JSON (RFC 8785) out, without floats.

Numbers are `int`, or `Decimal` with at most 15 significant digits (docs/spec/emlog.md §1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import NoReturn, TypeAlias

from wattseal.core.refusal import Refusal

Json: TypeAlias = "bool | int | Decimal | str | Sequence[Json] | Mapping[str, Json] | None"

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 32
"""Arrays and objects within each other."""

_MAX_DIGITS = 15
_SMALLEST_EXPONENT, _LARGEST_EXPONENT = -6, 20
"""Outside of these ECMAScript writes an exponent; no quantity of ours is there."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that may be half of a pair: only then are the texts looked at one by one."""
_TOO_DEEP = f"is nested more than {MAX_DEPTH} deep"


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refusal(_shown(_first_repeated(pairs)), "is given twice")
    return members


def _first_repeated(pairs: list[tuple[str, Json]]) -> str:
    # In one pass: counting each name in turn would let a file of some MiB hold a verifier for hours.
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _shown(name: str) -> str:
    """A member's name as a refusal may carry it: short, and always encodable."""
    return name[:64].encode("utf-8", "replace").decode()


def _constant(name: str) -> NoReturn:
    raise Refusal("json", f"{name} is not JSON")


def _integer(text: str) -> int:
    if len(text) > 17:
        raise Refusal("json", "an integer has more than 16 digits")
    return int(text)


def _fraction(text: str) -> Decimal:
    if len(text) > 40:
        raise Refusal("json", "a number is longer than 40 characters")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Refusal("json", "a number has an exponent beyond all measure") from None


_encode_text = json.JSONEncoder(ensure_ascii=False).encode
_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_fraction, parse_int=_integer, parse_constant=_constant
)


def loads(data: bytes, max_bytes: int) -> Json:
    """Parse one JSON text of at most max_bytes.

    Refuses duplicate members, NaN, Infinity, over-long numbers, bad UTF-8, halves of surrogate pairs, and more than
    MAX_DEPTH arrays and objects within each other.
    """
    if len(data) > max_bytes:
        raise Refusal("json", f"is longer than {max_bytes} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Refusal("json", "is not UTF-8") from None
    try:
        value: Json = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Refusal("json", f"is not JSON: {error.msg} (character {error.pos})") from None
    except RecursionError:
        raise Refusal("json", _TOO_DEEP) from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_depth(value)
    if _SURROGATE.search(text):
        _refuse_surrogates(value)
    return value


def _refuse_depth(value: Json) -> None:
    # The interpreter's own limit lies elsewhere in each version; a body must not be readable in one and not in another.
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)  # type: ignore[union-attr]  # a list
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise Refusal("json", _TOO_DEEP)


def _refuse_surrogates(value: Json) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refusal("json", "a text holds half of a surrogate pair") from None
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _refuse_surrogates(name)
            _refuse_surrogates(item)
    elif isinstance(value, Sequence):
        for item in value:
            _refuse_surrogates(item)


def first_difference(said: Json, right: Json, where: str = "") -> tuple[str, str, str] | None:
    """Where two values differ first, in the order of names: the member, and what stands there in each.

    Numbers are compared by value and not by spelling; None where nothing differs.
    """
    if isinstance(said, Mapping) and isinstance(right, Mapping):
        for name in sorted(said.keys() | right.keys()):
            member = f"{where}.{_shown(name)}" if where else _shown(name)
            if name not in said or name not in right:
                values = [_excerpt(side[name]) if name in side else "absent" for side in (said, right)]
                return member, values[0], values[1]
            found = first_difference(said[name], right[name], member)
            if found is not None:
                return found
        return None
    if isinstance(said, list) and isinstance(right, list) and len(said) == len(right):
        pairs = enumerate(zip(said, right, strict=True))
        places = (first_difference(*pair, f"{where}.{place}" if where else f"{place}") for place, pair in pairs)
        return next((found for found in places if found is not None), None)
    # Python takes true for 1.
    same = said == right and isinstance(said, bool) == isinstance(right, bool)
    return None if same else (where, _excerpt(said), _excerpt(right))


def _excerpt(value: Json) -> str:
    try:
        return _text(value)[:80]
    except Refusal:
        return f"{value}"[:80]


def text(value: str) -> str:
    """A JSON string literal as RFC 8785 §3.2.2.2 writes it."""
    return _encode_text(value)


def dumps(value: Json) -> bytes:
    """Canonical bytes of value; Refusal for what RFC 8785 or the 15-digit rule (docs/spec/emlog.md §1) cannot carry."""
    try:
        return _text(value).encode()
    except UnicodeEncodeError:
        raise Refusal("json", "a text holds half of a surrogate pair") from None
    except RecursionError:
        raise Refusal("json", _TOO_DEEP) from None


def _text(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise Refusal("json", f"{value} is beyond the integers that every JSON parser keeps")
        return str(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, Mapping):
        # RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from code points beyond the basic plane.
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{text(name)}:{_text(value[name])}" for name in names) + "}"
    return "[" + ",".join(_text(item) for item in value) + "]"


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise Refusal("json", f"{value} is no JSON number")
    if not value:
        return "0"
    if not _SMALLEST_EXPONENT <= value.adjusted() <= _LARGEST_EXPONENT:
        raise Refusal("json", f"{value} would need an exponent")
    # Not `normalize`: it rounds to whatever precision the caller's decimal context has.
    sign, digits, exponent = value.as_tuple()
    kept = "".join(map(str, digits)).rstrip("0")
    if len(kept) > _MAX_DIGITS:
        raise Refusal("json", f"a number has more than {_MAX_DIGITS} significant digits")
    return f"{Decimal((sign, tuple(map(int, kept)), int(exponent) + len(digits) - len(kept))):f}"
