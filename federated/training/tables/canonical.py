"""The one text of a value, and the number that a text spells.

One value has one text, in whatever type it is stored:

- Numbers are written in plain decimals with the fewest digits that read back as the same number
  in the column's own width: 0.1 as float16, float32, float64 or decimal 0.10 is ``0.1``, 1.0 is
  ``1``, 1e-7 is ``0.0000001``. Integers keep all digits.
- Booleans are ``True`` and ``False``.
- Dates are ``2027-03-01``, times ``06:30:00``, timestamps ``2027-03-01T06:30:00``; those with a
  zone are in UTC, ``2027-03-01T05:30:00Z``. A timestamp at midnight without a zone is its date,
  because pandas writes it so. A fraction of a second has no trailing zeros.
- Bytes are UTF-8. Dictionary and run-end encodings are their values.
- Text that spells one of these otherwise is that value: blanks are stripped, ``1.0`` is ``1``,
  ``0.10`` is ``0.1``, ``1e-07`` is ``0.0000001`` (a signed exponent: the code ``1E5`` stays),
  ``2027-03-01 00:00:00`` is ``2027-03-01``. Leading zeros and plus signs stay.

As a number, a cell is ``float()`` of its text, without underscores; ``true`` is 1, ``false`` 0.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal

MISSING_TEXTS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL"})
_BOOLEANS = {"true": 1.0, "false": 0.0}
_NUMBER = re.compile(r"([+-]?)(\d*)(?:(\.)(\d*))?([eE][+-]\d{1,3})?", re.ASCII)
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)? ?(Z|[+-]\d\d(?::?\d\d(?::\d\d)?)?)?",
    re.ASCII,
)
_TIME = re.compile(r"(\d\d:\d\d:\d\d)\.(\d*)", re.ASCII)


def canonical(text: str) -> str:
    """The one text of a value that is spelled as ``text``. canonical(canonical(x)) is itself."""
    text = text.strip()
    if text.lower() in _BOOLEANS:
        return text.capitalize()
    if number := _NUMBER.fullmatch(text):
        return _plain_number(number) or text
    if instant := _INSTANT.fullmatch(text):
        return _plain_instant(instant) or text
    if moment := _TIME.fullmatch(text):
        return _with_fraction(moment[1], moment[2])
    return text


def _plain_number(number: re.Match[str]) -> str | None:
    sign, whole, _, fraction, exponent = number.groups(default="")
    if not whole and not fraction:
        return None
    if exponent:
        whole, _, fraction = f"{Decimal(number[0]):f}".lstrip("+-").partition(".")
    fraction = fraction.rstrip("0")
    if sign == "-" and not fraction and not whole.strip("0"):
        sign = ""
    return sign + (whole or "0") + ("." + fraction if fraction else "")


def _plain_instant(instant: re.Match[str]) -> str | None:
    day, minute, second, fraction, zone = instant.groups()
    at = f"{day}T{minute}:{second or '00'}"
    if zone not in (None, "Z"):
        try:
            at = datetime.fromisoformat(at + zone).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        except (ValueError, OverflowError):
            return None
        at = at.rjust(19, "0")
    at = _with_fraction(at, fraction or "")
    if zone:
        return at + "Z"
    return at.removesuffix("T00:00:00")


def _with_fraction(text: str, fraction: str) -> str:
    fraction = fraction.rstrip("0")
    return f"{text}.{fraction}" if fraction else text


def number_of(text: str) -> float:
    """The number that a text spells, NaN where it is missing. Raises ValueError for other text."""
    text = text.strip()
    if text in MISSING_TEXTS:
        return math.nan
    truth = _BOOLEANS.get(text.lower())
    if truth is not None:
        return truth
    if "_" in text:
        raise ValueError("an underscore")
    return float(text)
