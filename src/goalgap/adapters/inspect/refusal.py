"""Show our one-line errors in Inspect as it shows its own: without a traceback."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from inspect_ai._util.error import PrerequisiteError  # not public, and without it: a traceback
from rich.markup import escape

from ...core import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])


def refusing(function: Function) -> Function:
    """Wrap a function so that Inspect understands its UsageErrors."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except UsageError as error:
            raise PrerequisiteError(escape(f"ERROR: {error}")) from error

    return cast(Function, called)
