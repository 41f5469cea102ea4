"""The environments. `ALL` feeds the command line, the contract tests, the docs and the benchmarks."""

from ..core import Environment
from .coinrun import CoinRun
from .corner import Corner
from .dish import Dish
from .heist import Heist
from .keys import Keys
from .line import Line
from .maze import Maze
from .maze_line import MazeLine
from .mazes import LAYOUTS as LAYOUTS

ALL: tuple[type[Environment], ...] = (Corner, Dish, Keys, Line, CoinRun, Maze, MazeLine, Heist)
