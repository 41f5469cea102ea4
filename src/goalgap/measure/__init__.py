"""From episodes to verdicts: evaluation levels, scores, the verdict, heatmaps and replays."""

from .exam import SCORE_GAMMA, Exam, Table, first_event, pivot, stacked
from .levels import LevelExam, draw_exam
from .summary import curves, measurements, ratio
from .verdict import Thresholds, judge
from .wording import sentence

__all__ = [
    "SCORE_GAMMA",
    "Exam",
    "LevelExam",
    "Table",
    "Thresholds",
    "curves",
    "draw_exam",
    "first_event",
    "judge",
    "measurements",
    "pivot",
    "ratio",
    "sentence",
    "stacked",
]
