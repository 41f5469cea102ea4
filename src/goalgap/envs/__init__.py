"""The environments. `ALL` feeds the command line, the contract tests, the docs and the benchmarks."""

from .corner import Corner
from .dish import Dish
from .grid import GridEnvironment
from .keys import Keys
from .mazes import LAYOUTS as LAYOUTS

ALL: tuple[type[GridEnvironment], ...] = (Corner, Dish, Keys)
