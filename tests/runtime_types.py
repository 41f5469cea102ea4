"""Check annotations at run time, but for the constructors of settings, which check their own."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ForwardRef, Literal, get_args, get_origin, get_type_hints

import beartype
import jaxtyping

# As in pyright, an int will do for a float.
_check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
_decorate = jaxtyping.jaxtyped


def install(package: str) -> None:
    """Check the types of all functions of a package that is imported from now on.

    jaxtyping's import hook finds the functions. Its decorator binds and checks the arguments of each
    call twice, whether there are arrays among them or not, which was more than half of all that Python
    did in these tests; ours checks them once, and remembers shapes only where there are arrays.
    """
    jaxtyping.jaxtyped = _decorated  # the hook writes `@jaxtyping.jaxtyped(...)` above each function
    jaxtyping.install_import_hook(package, "runtime_types.checked")


def checked(function: Any) -> Callable[..., Any]:
    """The function with its types checked. A constructor without arrays is left to `settings.settle`,
    which understands more than its annotations say (names of layouts, NumPy's numbers)."""
    if function.__name__ == "__init__" and not _takes_arrays(function):
        return function
    return _check(function)


def _decorated(what: Any = None, *, typechecker: Callable[[Any], Any] | None = None) -> Any:
    """Take the place of `jaxtyping.jaxtyped`, as far as the import hook uses it."""
    if what is None:
        return functools.partial(_decorated, typechecker=typechecker)
    if inspect.isclass(what):  # of a dataclass the constructor, which was made by now
        return _decorate(what, typechecker=typechecker) if _takes_arrays(what.__init__) else what
    what.__annotations__ = {
        name: _resolved(hint, what.__globals__) for name, hint in what.__annotations__.items()
    }
    within = checked(what)
    if not any(map(_has_arrays, what.__annotations__.values())):
        return within

    @functools.wraps(what)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with _decorate("context"):  # a name is one size, in all arguments and in what is returned
            return within(*args, **kwargs)

    return wrapped


def _takes_arrays(constructor: Any) -> bool:
    return any(map(_is_array, getattr(constructor, "__annotations__", {}).values()))


def _is_array(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)


def _resolved(hint: Any, names: dict[str, Any]) -> Any:
    """What an annotation in quotes stands for. Nothing is checked where that is not known yet, or only
    to those who check types without running the code."""
    if not any(isinstance(part, str | ForwardRef) for part in _parts(hint)):
        return hint

    def holder() -> None: ...

    holder.__annotations__["hint"] = hint
    try:
        return get_type_hints(holder, names, include_extras=True)["hint"]
    except Exception:  # as jaxtyping does; a shape in quotes may raise anything
        return Any


def _has_arrays(hint: Any) -> bool:
    return any(map(_is_array, _parts(hint)))


def _parts(hint: Any) -> Iterator[Any]:
    """An annotation, and all that it is made of."""
    yield hint
    if get_origin(hint) is not Literal:
        for part in hint if isinstance(hint, list) else get_args(hint):
            yield from _parts(part)
