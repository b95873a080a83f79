"""Kwargs as the framework keeps them: checked before they are stored, copied as they are read.

What cannot be JSON is refused here, before anything has changed, with the path to the culprit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from triggers_core.errors import InvalidKwargs
from triggers_core.rules.names import shown

Result = Mapping[str, Any] | None
"""What a task returns: the kwargs of its cascade."""

MAX_DEPTH = 64
"""Levels of nesting; more is taken for a structure that contains itself."""


def _compact_encoder() -> Callable[[Any], str]:
    """Return ``JSONEncoder.encode``, without what it makes anew at each call: that takes longer
    than to encode what a trigger carries."""
    encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
    make: Callable[..., Callable[[Any, int], Iterable[str]]] | None
    make = getattr(json.encoder, "c_make_encoder", None)  # CPython's
    if make is None:
        return encoder.encode
    text_of = json.encoder.encode_basestring_ascii
    parts = make(None, encoder.default, text_of, None, ":", ",", False, False, False)
    return lambda value: "".join(parts(value, 0))


to_json = _compact_encoder()
"""JSON value → compact text, for values that were checked before."""


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number that JSON has")
    return number


_raw_decode = json.JSONDecoder(parse_float=_finite, parse_constant=_finite).raw_decode


def from_json(text: str) -> Any:
    """Return the JSON value. Raises ValueError or RecursionError for what :data:`to_json` cannot
    have written."""
    value, end = _raw_decode(text)
    if end != len(text):
        raise ValueError(f"after its end at {end} there is more")
    return value


def encode_kwargs(kwargs: Mapping[str, Any] | None, owner: str) -> str:
    """Return ``kwargs`` as JSON text; None counts as no kwargs.

    Args:
        owner: whose kwargs these are, to begin the error with ("trigger 'paid'").

    Raises:
        InvalidKwargs: not a mapping, a key that is no string, a value that JSON has no form
            for (NaN and infinities included), or nesting over :data:`MAX_DEPTH`.
    """
    if kwargs is None:
        return "{}"
    if not isinstance(kwargs, Mapping):
        raise InvalidKwargs(
            f"{owner}: kwargs must be a mapping of names to JSON values, "
            f"not {type(kwargs).__name__}"
        )
    return encode_json(dict(kwargs), owner)


def encode_json(value: Any, owner: str) -> str:
    """Return any JSON value as text. Raises InvalidKwargs as :func:`encode_kwargs` does."""
    _check(value, owner, "", 0)
    try:
        return to_json(value)
    except (TypeError, ValueError) as error:
        raise InvalidKwargs(f"{owner}: kwargs cannot be written as JSON: {error}") from error


def digest_of(kwargs: Mapping[str, Any]) -> str:
    """Return a name for the content: the same for kwargs that are equal as JSON, however their keys
    are ordered."""
    import hashlib  # noqa: PLC0415 - slow to import, and used on demand

    text = json.dumps(kwargs, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def merge_kwargs(defaults: Mapping[str, Any], fired: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``fired`` merged recursively over ``defaults`` (rule C5).

    Mappings merge key by key; for anything else, lists included, the fired value replaces the
    default. The result shares nothing with either side.
    """
    merged = {key: _copy(value) for key, value in defaults.items()}
    for key, value in fired.items():
        default = defaults.get(key)
        if isinstance(default, Mapping) and isinstance(value, Mapping):
            merged[key] = merge_kwargs(default, value)
        else:
            merged[key] = _copy(value)
    return merged


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _check(value: Any, owner: str, path: str, depth: int) -> None:
    if value is None or isinstance(value, (str, int)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidKwargs(
                f"{owner}: {path or 'the value'} is {value}, which JSON has no form for"
            )
        return
    if depth > MAX_DEPTH:
        raise InvalidKwargs(
            f"{owner}: {path[:60]}… is nested over {MAX_DEPTH} levels, or contains itself"
        )
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidKwargs(
                    f"{owner}: key {shown(key)}{f' in {path}' if path else ''} is "
                    f"{type(key).__name__}; JSON keys must be str"
                )
            _check(item, owner, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check(item, owner, f"{path}[{index}]", depth + 1)
    else:
        raise InvalidKwargs(
            f"{owner}: {path or 'the value'} is {type(value).__name__}, which JSON has no form "
            "for; use a str, number, bool, None, list or dict"
        )
