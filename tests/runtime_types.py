"""Check annotations at run time, but for the constructors of settings, which check their own."""

from collections.abc import Callable
from typing import Any

import beartype
import jaxtyping

# As in pyright, an int will do for a float.
_check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))


def checked(function: Any) -> Callable[..., Any]:
    """The function with its types checked. A constructor without arrays is left to `settings.settle`,
    which understands more than its annotations say (names of layouts, NumPy's numbers)."""
    if function.__name__ == "__init__" and not any(map(_is_array, function.__annotations__.values())):
        return function
    return _check(function)


def _is_array(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
