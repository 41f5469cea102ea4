"""List the environments.

`ALL` feeds the command line, the contract tests, the docs and the benchmarks.
"""

from ..core import Environment
from .corner import Corner
from .dish import Dish
from .keys import Keys
from .layouts import LAYOUTS as LAYOUTS
from .line import Line
from .procgen.coinrun import CoinRun
from .procgen.heist import Heist
from .procgen.maze import Maze
from .procgen.maze_line import MazeLine

ALL: tuple[type[Environment], ...] = (Corner, Dish, Keys, Line, CoinRun, Maze, MazeLine, Heist)
