"""The scenarios, one file each."""

from ..scenario import Scenario
from .expressions import Expressions
from .inoculation import Inoculation
from .sycophancy import Sycophancy

ALL: tuple[type[Scenario], ...] = (Expressions, Inoculation, Sycophancy)
