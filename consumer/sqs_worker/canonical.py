"""Reads JSON with exact numbers and writes one text for one value; pure.

The order of names, spaces, escapes and the spelling of a number make no difference; every other
difference gives another text. Rows hold digests of these texts, so they must never change.
"""

import json
import math
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from typing import Any

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Rounds nothing that `Decimal` can hold."""
_LONGEST_WHOLE = 1e40
"""From here on 1e308 stays as short as it is: a body full of such numbers would fill the memory."""


class NoNumber(ValueError):
    """NaN, an infinity, a number beyond the range of a double, or an exponent of 19 digits."""


def without_bom(text: str) -> str:
    """The text without the byte order mark that some producers put before their JSON."""
    return text.removeprefix("\ufeff")


def parsed(text: str) -> Any:
    """What a JSON text says, with each number as what it is worth.

    A whole number below 1e40 is an int, however it is spelled; a number that a double would round
    is a Decimal; every other one is a float. Raises ValueError (NoNumber) or RecursionError.
    """
    return _EXACTLY.decode(without_bom(text))


def parsed_for_functions(text: str) -> Any:
    """The same, with a float in place of a Decimal, which JMESPath's functions do not know."""
    return _FOR_FUNCTIONS.decode(without_bom(text))


def parsed_as_doubles(text: str) -> Any:
    """The same, but each number with a point or an exponent is the double nearest to it."""
    return _AS_DOUBLES.decode(without_bom(text))


def canonical(value: Any) -> str:
    """One text for one JSON value, in ASCII: names sorted, no spaces, 1.0 as 1."""
    if isinstance(value, dict):
        parts = (f"{_encode(name)}:{canonical(value[name])}" for name in sorted(value))
        return f"{{{','.join(parts)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, Decimal):
        return str(_EXACT.normalize(value))
    return _encode(int(value) if isinstance(value, float) and value.is_integer() else value)


def canonical_of_parsed(value: Any) -> str:
    """The same for what `parsed` made, where no float is a whole number, and faster."""
    try:
        return _encode(value)
    except TypeError:  # it holds a Decimal, which the encoder cannot write
        return canonical(value)


def _exact(text: str) -> int | float | Decimal:
    double = _finite(text)
    if repr(double) == text and not double.is_integer():
        return double
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise NoNumber("a number in the payload has an exponent of more than 18 digits") from error
    if abs(double) >= _LONGEST_WHOLE:
        return value
    whole = int(value)
    if value == whole:
        return whole
    return double if value == Decimal(repr(double)) else value


def _rounded(text: str) -> int | float:
    number = _exact(text)
    return float(number) if isinstance(number, Decimal) else number


def _double(text: str) -> int | float:
    double = _finite(text)
    return int(double) if double.is_integer() else double


def _finite(text: str) -> float:
    double = float(text)
    if not math.isfinite(double):
        raise NoNumber("a number in the payload is not finite")
    return double


_EXACTLY = json.JSONDecoder(parse_float=_exact, parse_constant=_finite)
_FOR_FUNCTIONS = json.JSONDecoder(parse_float=_rounded, parse_constant=_finite)
_AS_DOUBLES = json.JSONDecoder(parse_float=_double, parse_constant=_finite)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
