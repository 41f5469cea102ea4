"""Objects as descriptions: frozen dataclasses as JSON and back, and a short hash to find them by.

A description leaves out every field that has its default value, so that a field added later changes no
stored description. A default, once released, therefore never changes its meaning.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .core import UsageError

PLAIN = (bool, int, float, str, type(None))
# Fields that belong to a contest, not to its record: they are named again by its type.
LEFT_OUT = frozenset({"intended", "proxies"})


class MissingTypeError(UsageError):
    """Tell that a description names a type which neither the package nor a plug-in defines."""


def to_json(value: Any) -> Any:
    """Describe a value as JSON.

    Objects become dictionaries with a "type" and the fields that differ from their defaults. Raises
    UsageError for what JSON cannot hold.
    """
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: to_json(getattr(value, field.name))
            for field in sorted(dataclasses.fields(value), key=lambda field: field.name)
            if field.name not in LEFT_OUT and not _is_default(field, getattr(value, field.name))
        }
        return {"type": type(value).__name__, **fields}
    if isinstance(value, PLAIN):
        return value
    raise UsageError(
        f"{type(value).__name__} {str(value)[:40]!r} cannot be described; expected numbers, text, "
        "tuples and dataclasses of them"
    )


def digest(description: Any) -> str:
    """Hash a description to eight hexadecimal digits."""
    text = json.dumps(description, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def from_json(value: Any, types: Mapping[str, type]) -> Any:
    """Build what `to_json` described, of `types` by name.

    Raises MissingTypeError for types that are not there, and UsageError for fields of another version.
    """
    if isinstance(value, list):
        return tuple(from_json(item, types) for item in value)
    if not isinstance(value, dict):
        return value
    name = str(value.get("type"))
    if name not in types:
        raise MissingTypeError(
            f"the description is of a {name!r}, which neither this version nor a plug-in that is here "
            "defines; name its file with --plugin FILE, or install its package"
        )
    fields = {field: from_json(item, types) for field, item in value.items() if field != "type"}
    try:
        return types[name](**fields)
    except TypeError as error:
        raise UsageError(
            f"the description of a {name} is not one of this version ({error}); run the experiment "
            "again, or install the version named in experiment.json"
        ) from None


def _is_default(field: Any, value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return _same(value, field.default)
    if field.default_factory is not dataclasses.MISSING:
        return _same(value, field.default_factory())
    return False


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if dataclasses.is_dataclass(one):
        return to_json(one) == to_json(other)
    return not isinstance(one, np.ndarray) and one == other
