"""Objects as descriptions: frozen dataclasses as JSON and back, and a short hash to find them by."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .core import UsageError


def to_json(value: Any) -> Any:
    """Nested dictionaries with a "type" each. Goals belong to their environment, not to the record."""
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name for f in dataclasses.fields(value)} - {"intended", "proxies"}
        named = {name: to_json(getattr(value, name)) for name in sorted(fields)}
        return {"type": type(value).__name__, **named}
    return value


def digest(value: Any) -> str:
    """Eight hexadecimal digits of an object's description."""
    text = json.dumps(to_json(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def from_json(value: Any, kinds: Mapping[str, type]) -> Any:
    """What `to_json` described, of types by name. Raises UsageError for types and fields of another
    version."""
    if isinstance(value, list):
        return tuple(from_json(item, kinds) for item in value)
    if not isinstance(value, dict):
        return value
    fields = {name: from_json(item, kinds) for name, item in value.items() if name != "type"}
    try:
        return kinds[value["type"]](**fields)
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"the description of the experiment is not one of this version ({error}); "
            "run the experiment again, or install the version named in experiment.json"
        ) from None
