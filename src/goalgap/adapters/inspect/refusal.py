"""Our one-line errors, as Inspect shows its own: without a traceback."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from inspect_ai._util.error import PrerequisiteError  # not public, and without it: a traceback
from rich.markup import escape

from ...core import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])


def refusing(function: Function) -> Function:
    """The same function, whose UsageErrors Inspect understands."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except UsageError as error:
            raise PrerequisiteError(escape(f"ERROR: {error}")) from error

    return cast(Function, called)
