"""From episodes to verdicts: evaluation levels, scores, the verdict, heatmaps and replays."""

from .exam import SCORE_GAMMA, Exam, Table, draw_exam, examine, pivot, prepare
from .pictures import replays, splay
from .summary import curves, measurements, ratio
from .verdict import Thresholds, judge, sentence

__all__ = [
    "SCORE_GAMMA",
    "Exam",
    "Table",
    "Thresholds",
    "curves",
    "draw_exam",
    "examine",
    "judge",
    "measurements",
    "pivot",
    "prepare",
    "ratio",
    "replays",
    "sentence",
    "splay",
]
