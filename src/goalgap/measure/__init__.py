"""From episodes to verdicts: evaluation levels, scores, the verdict, heatmaps and replays."""

from .exam import SCORE_GAMMA, Exam, pivot, prepare, sit
from .pictures import replays, splay
from .summary import curves, measurements, ratio
from .verdict import Thresholds, judge, sentence

__all__ = [
    "SCORE_GAMMA",
    "Exam",
    "Thresholds",
    "curves",
    "judge",
    "measurements",
    "pivot",
    "prepare",
    "ratio",
    "replays",
    "sentence",
    "sit",
    "splay",
]
