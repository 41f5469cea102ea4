"""The environments. `ALL` feeds the command line, the contract tests, the docs and the benchmarks."""

from ..core import Environment
from .corner import Corner
from .dish import Dish
from .keys import Keys
from .line import Line
from .mazes import LAYOUTS as LAYOUTS

ALL: tuple[type[Environment], ...] = (Corner, Dish, Keys, Line)
