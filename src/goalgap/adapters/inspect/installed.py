"""What can be said without importing Inspect: is it installed, and which tasks are no scenarios?"""

from ...core import UsageError

SYCOPHANCY = ("answer", "are_you_sure", "feedback", "mimicry")  # the other tasks are scenarios, by name


def check_installed() -> None:
    """Raise UsageError where Inspect is not installed."""
    try:
        import inspect_ai  # noqa: F401
    except ImportError:
        raise UsageError('Inspect is not installed; pip install "goalgap[language]"') from None
