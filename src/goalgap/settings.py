"""Check settings at construction: whatever a caller gives becomes what a field declares, or is refused.

One mechanism for frozen dataclasses and `equinox.Module`s. A class that derives from `Checked` has its
fields settled before its own `__post_init__` (or `__check_init__`) looks at them; `settle` also takes
ranges. Nothing here imports from the rest of the package.
"""

import collections.abc
import dataclasses
import difflib
import functools
import inspect
import math
import operator
import sys
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal

Range = tuple[float | None, float | None]


class UsageError(ValueError):
    """Tell of a mistake of the user's, in one line: what was given, what was expected, the repair."""


class Checked:
    """Settle the fields of subclasses first thing after they are set.

    A subclass's own `__post_init__` finds settled fields, whether or not it calls its parent's.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = cls.__dict__.get("__post_init__")
        if own is None:
            return

        @functools.wraps(own)
        def settled(self: Any) -> None:
            settle(self)
            own(self)

        cls.__post_init__ = settled

    def __post_init__(self) -> None:
        settle(self)


def settle(thing: Any, **ranges: Range) -> None:
    """Give each field of a dataclass or Module the Python value that its annotation declares.

    NumPy scalars and 0-d arrays become Python values, whole floats become ints where an int is declared,
    ints become floats where a float is, lists become tuples; names are understood where the declared
    class has `by_name`. `ranges` are inclusive bounds by field, None for no bound. Raises UsageError in
    one line for everything else: "Corner: size is 5.5; expected a whole number".
    """
    kind = type(thing)
    for field in dataclasses.fields(thing):
        if not hasattr(thing, field.name):
            continue  # set later, by an `__init__` of the class's own
        value = getattr(thing, field.name)
        try:
            fitted = fit(value, hint(kind, field.name))
        except _Unfit as unfit:
            raise UsageError(
                f"{kind.__name__}: {field.name} is {shown(value)}; expected {unfit}"
            ) from None
        if fitted is not value:
            object.__setattr__(thing, field.name, fitted)
        if field.name in ranges and fitted is not None:
            _check_range(kind, field.name, fitted, *ranges[field.name])


def fit(value: Any, hint: Any) -> Any:
    """Convert a value to what an annotation declares. Raises `_Unfit`, which says what was expected."""
    if hint is Any:  # a class, from Python 3.11 on, but of no instances
        return value
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return fit(value, args[0])
    if origin in (typing.Union, types.UnionType):
        return _fit_union(value, args)
    if origin is Literal:
        value = _plain(value)
        if value not in args:
            raise _Unfit(f"one of {', '.join(map(str, args))}")
        return value
    if origin is tuple or hint is tuple:
        return _fit_tuple(value, args)
    if origin is collections.abc.Callable or hint is collections.abc.Callable:
        if not callable(value):
            raise _Unfit("a function")
        return value
    if hint in _SIMPLE:
        return _SIMPLE[hint](_plain(value))
    if isinstance(hint, type) and _is_checkable(hint):
        return _fit_class(value, hint)
    return value


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """Say in one line that a name is not known, with the nearest ones."""
    known = list(known)
    near = difflib.get_close_matches(given, known, 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(known)}"
    return f"unknown {what} {given!r}; {hint}"


def shown(value: Any) -> str:
    """Show a value in one short line, as an error message quotes it."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # somebody else's `__repr__`
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


@functools.cache
def hint(kind: type, name: str) -> Any:
    """Return the annotation of a class's field; Any where it cannot be evaluated."""
    for parent in kind.__mro__:
        found = inspect.get_annotations(parent).get(name)
        if found is None:
            continue
        if not isinstance(found, str):
            return found
        names = vars(sys.modules[parent.__module__]) if parent.__module__ in sys.modules else {}
        try:
            return eval(found, dict(names), dict(vars(parent)))
        except Exception:  # names that only type checkers import
            return Any
    return Any


class _Unfit(Exception):
    """Tell that a value does not fit its field; the text says what was expected."""


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and 0-d arrays into Python values."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        try:
            return value.item()
        except Exception:  # traced values have none
            return value
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unfit("a whole number")
    if isinstance(value, float):
        if not value.is_integer():
            raise _Unfit("a whole number")
        return int(value)
    return operator.index(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unfit("a number")
    try:
        value = float(value)
    except OverflowError:
        raise _Unfit("a finite number") from None
    if not math.isfinite(value):
        raise _Unfit("a finite number")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Unfit("True or False")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Unfit("a text")
    return value


def _nothing(value: Any) -> None:
    if value is not None:
        raise _Unfit("None")


_SIMPLE: dict[Any, Any] = {
    int: _whole,
    float: _number,
    bool: _truth,
    str: _text,
    type(None): _nothing,
    None: _nothing,
}


def _fit_union(value: Any, kinds: tuple[Any, ...]) -> Any:
    # A value that is of one of the types already stays of it: 2 is not made 2.0 for int | float.
    exact = [kind for kind in kinds if kind is type(_plain(value))]
    expected = []
    for kind in (*exact, *(one for one in kinds if one not in exact)):
        try:
            return fit(value, kind)
        except _Unfit as unfit:
            expected.append(str(unfit))
    raise _Unfit(" or ".join(dict.fromkeys(expected)))


def _fit_tuple(value: Any, kinds: tuple[Any, ...]) -> Any:
    if getattr(value, "ndim", 0) and hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, tuple | list):
        raise _Unfit("a tuple")
    if not kinds:
        return tuple(value)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if kinds == ((),):
        kinds = ()
    if len(kinds) != len(value):
        raise _Unfit(f"a tuple of {len(kinds)}")
    fitted = []
    for item, kind in zip(value, kinds, strict=True):
        try:
            fitted.append(fit(item, kind))
        except _Unfit as unfit:
            raise _Unfit(f"a tuple, each {unfit}") from None
    if isinstance(value, tuple) and all(a is b for a, b in zip(fitted, value, strict=True)):
        return value
    return tuple(fitted)


def _is_checkable(kind: type) -> bool:
    """Tell whether `isinstance` decides if a value fits: not for arrays' shapes, nor for protocols."""
    is_protocol = getattr(kind, "_is_protocol", False)
    return not is_protocol and not type(kind).__module__.startswith("jaxtyping")


def _fit_class(value: Any, kind: type) -> Any:
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and hasattr(kind, "by_name"):
        try:
            return kind.by_name(value)
        except UsageError as error:
            raise _Unfit(f"{_article(kind)}: {error}") from None
    if isinstance(value, type) and issubclass(value, kind):
        raise _Unfit(f"{_article(kind)}, as {value.__name__}()")
    raise _Unfit(_article(kind))


def _article(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def _check_range(kind: type, name: str, value: Any, low: float | None, high: float | None) -> None:
    values = value if isinstance(value, tuple) else (value,)
    if all((low is None or low <= one) and (high is None or one <= high) for one in values):
        return
    if high is None:
        expected = f"at least {low}"
    elif low is None:
        expected = f"at most {high}"
    else:
        expected = f"{low} to {high}"
    each = "each " if isinstance(value, tuple) else ""
    raise UsageError(f"{kind.__name__}: {name} is {shown(value)}; expected {each}{expected}")
