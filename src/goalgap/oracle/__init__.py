"""Exact play: optimal values and greedy actions of any goal, batched over levels."""

from .policy import Oracle, Pursuer, expert, is_greedy
from .solver import CHUNK, TABLES, Solution, Solver, is_solvable, solve, start_values

__all__ = [
    "CHUNK",
    "TABLES",
    "Oracle",
    "Pursuer",
    "Solution",
    "Solver",
    "expert",
    "is_greedy",
    "is_solvable",
    "solve",
    "start_values",
]
