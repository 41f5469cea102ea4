"""Draw the report's pictures, as inline SVG: strips of intervals and seeds, learning curves, heatmaps.

Colors, dashes and fonts are the style sheet's: every mark carries the class of its goal (`goal-0` is the
intended one, `goal-1` onwards the proxies, `goal-both` several at once, `goal-none` none), and differs
from the others in shape, hatching or dash as well as in hue.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup, escape

from .prose import Number, is_known

MARKS = (
    "M0-4.2a4.2 4.2 0 1 0 .01 0z",  # circle: the intended goal
    "M0-5.6 5.6 0 0 5.6-5.6 0z",  # diamond: the first proxy
    "M-4.2-4.2h8.4v8.4h-8.4z",
    "M0-5 5 4H-5z",
)
NO_MARK = "M-4.5-1.3h9v2.6h-9z"  # a dash: none of the goals
BOTH_MARK = "M-1.6-5h3.2v3.4H5v3.2H1.6V5h-3.2V1.6H-5v-3.2h3.4z"  # a plus: several with one step
TILE = 24  # user units to a tile of a board
OVERLAP = 0.3  # covers the seams between tiles that scaling opens


class Axis(NamedTuple):
    """Say what a strip spans, and where its ticks stand."""

    low: Number
    high: Number
    ticks: tuple[Number, ...]

    def at(self, value: Number) -> str:
        """Place a value, in percent of the width."""
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


SHARE = Axis(0.0, 1.0, (0.0, 0.5, 1.0))
HIGH, LOW = 34, 22  # strips with dots below the interval, and without


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """Write an element with everything escaped.

    `class_` and `stroke_width` lose or turn their underscores.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[Any]) -> Markup:
    """Join pieces of markup without anything between them."""
    return Markup("").join(parts)


def nice_axis(values: Iterable[Any]) -> Axis:
    """Choose an axis around all values and 0, with at most five round ticks."""
    known = [0.0, *(float(value) for value in values if is_known(value))]
    low, high = min(known), max(known)
    if low == high:
        high = low + 1
    rough = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(round(index * step, 12) for index in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def marks() -> Markup:
    """Define the shapes of the goals and how bars are hatched, to be referred to; once a page."""
    shapes = {"none": NO_MARK, "both": BOTH_MARK} | dict(enumerate(MARKS))
    box = {"width": 6, "height": 6, "patternUnits": "userSpaceOnUse"}
    stripe = tag("path", d="M-1 7 7-1M-4 4 4-4M2 10 10 2", class_="stripe")
    dot = tag("circle", cx=3, cy=3, r=1.5, class_="dotted")
    paths = (tag("path", id=f"mark-{name}", d=shape) for name, shape in shapes.items())
    return join(
        [*paths, tag("pattern", stripe, id="hatch", **box), tag("pattern", dot, id="dots", **box)]
    )


def tiles(atlas: Sequence[str]) -> Markup:
    """Define the sprites (base64 PNGs), to be referred to by `use`; once a page."""
    return join(
        tag(
            "image",
            id=f"tile-{index}",
            width=TILE + OVERLAP,
            height=TILE + OVERLAP,
            href=f"data:image/png;base64,{png}",
        )
        for index, png in enumerate(atlas)
    )


def mark(style: str, x: Any = 0, y: Any = 0) -> Markup:
    """Draw the shape of a goal, by its class."""
    href = style.replace("goal", "#mark")
    return tag("use", href=href, x=x, y=y, class_=f"mark {style}")


def badge(style: str) -> Markup:
    """Draw the shape of a goal, to stand beside its name in the text."""
    return tag("svg", mark(style), class_="badge", viewBox="-7 -7 14 14", aria_hidden="true")


# -- strips -----------------------------------------------------------------------------------------


def strip(
    row: Mapping[str, Any],
    reference: Any,
    axis: Axis,
    style: str,
    label: str,
    seeds: list[str],
    lines: Sequence[Number] = (),
    height: int = HIGH,
) -> Markup:
    """Draw one measurement on a common axis: interval, estimate, a dot per seed, a tick for random play.

    `seeds` are the dots' tooltips, `lines` further values to be marked. Widths are percentages, so a
    strip fits any column undistorted.
    """
    grid = [_upright(axis, tick, 0, height, "grid") for tick in axis.ticks]
    parts = [_upright(axis, value, 0, height, "settles") for value in lines]
    if is_known(reference):
        parts.append(_upright(axis, reference, 1, height - 1, "reference"))
    if is_known(row.get("low")) and is_known(row.get("high")):
        ends = {"x1": axis.at(row["low"]), "x2": axis.at(row["high"])}
        parts.append(tag("line", **ends, y1=11, y2=11, class_=f"interval {style}"))
    parts += _dots(row.get("per_seed") or (), axis, style, seeds)
    if is_known(row["estimate"]):
        parts.append(mark(style, axis.at(row["estimate"]), 11))
    return tag("svg", *grid, *parts, class_="strip", height=height, role="img", aria_label=label)


def _upright(axis: Axis, value: Number, top: Number, bottom: Number, class_: str) -> Markup:
    place = axis.at(value)
    return tag("line", x1=place, x2=place, y1=top, y2=bottom, class_=class_)


def _dots(values: Sequence[Any], axis: Axis, style: str, seeds: list[str]) -> list[Markup]:
    """Draw a dot per seed; those that would cover each other take turns on three lanes."""
    known = [index for index, value in enumerate(values) if is_known(value)]
    dots, last, lane = [], -math.inf, 0
    for index in sorted(known, key=lambda index: values[index]):
        share = (values[index] - axis.low) / (axis.high - axis.low)
        lane = (lane + 1) % 3 if share - last < 0.035 else 0
        last = share
        place = {"cx": axis.at(values[index]), "cy": 21 + 4.5 * lane, "r": 2.6}
        dots.append(tag("circle", tag("title", seeds[index]), **place, class_=f"dot {style}"))
    return dots


def scale(axis: Axis, write: Callable[[Any], str]) -> Markup:
    """Write the numbers above a column of strips."""
    labels = [tag("text", write(tick), x=axis.at(tick), y=11) for tick in axis.ticks]
    return tag("svg", *labels, class_="scale", height=14, aria_hidden="true")


def bar(shares: Mapping[str, Any], styles: Mapping[str, str], label: str) -> Markup:
    """Draw shares that add up to one, as one stacked bar."""
    parts, start = [], 0.0
    for name, share in shares.items():
        if is_known(share) and share > 0:
            place = {"x": f"{100 * start:.1f}%", "width": f"{100 * share:.1f}%", "height": 12}
            parts += _piece(styles.get(name, "goal-none"), place)
            start += share
    return tag("svg", *parts, class_="bar", height=12, role="img", aria_label=label)


def swatch(style: str) -> Markup:
    """Draw a sample of a bar's piece, to stand beside its name in the text."""
    parts = _piece(style, {"width": 18, "height": 12})
    return tag("svg", *parts, class_="swatch", width=18, height=12, aria_hidden="true")


def _piece(style: str, place: Mapping[str, Any]) -> list[Markup]:
    """Draw a piece of a bar: proxies are striped, both dotted, neither pale."""
    hatch = {"goal-0": None, "goal-none": None, "goal-both": "#dots"}.get(style, "#hatch")
    piece = [tag("rect", **place, class_=f"share {style}")]
    return [*piece, tag("rect", **place, fill=f"url({hatch})")] if hatch else piece


# -- learning curves ----------------------------------------------------------------------------------

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 42, 66, 12, 34
LETTER = 9  # about the width of a letter of a name, at most


class Series(NamedTuple):
    """Hold one goal's curve: NaN where a seed has no value."""

    name: str
    style: str
    values: np.ndarray  # [seeds, checkpoints]
    reference: Number | None  # what random play scores

    @property
    def mean(self) -> np.ndarray:
        """Average the curve over seeds."""
        known = np.isfinite(self.values)
        total = np.where(known, self.values, 0.0).sum(0)
        return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def curves(
    steps: Sequence[int],
    series: Sequence[Series],
    axis: Axis,
    write: Callable[[Any], str],
    label: str,
    nouns: Mapping[str, str],
) -> Markup:
    """Draw means over seeds, and thinly each seed, over a logarithmic axis of training steps.

    A checkpoint at 0, which no logarithm has, stands a little to the left. Hovering, and the arrow keys,
    read the checkpoint out (`data-chart`).
    """
    xs, ticks = _log_axis(steps)

    def y(value: Number) -> float:
        share = (value - axis.low) / (axis.high - axis.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    parts = []
    for tick in axis.ticks:
        ends = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": y(tick), "y2": y(tick)}
        parts.append(tag("line", **ends, class_="grid"))
        parts.append(tag("text", write(tick), x=LEFT - 8, y=y(tick) + 4, class_="tick end"))
    for x, text in ticks:
        parts.append(tag("text", text, x=x, y=HEIGHT - BOTTOM + 17, class_="tick middle"))
    parts.append(
        tag("text", f"training {nouns['experience']}", x=WIDTH - RIGHT, y=HEIGHT - 3, class_="tick end")
    )
    for one in series:
        if is_known(one.reference):
            level = y(one.reference)
            ends = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": level, "y2": level}
            title = tag("title", f"{nouns['walk']}, {one.name}: {write(one.reference)}")
            parts.append(tag("line", title, **ends, class_=f"random {one.style}"))
    for one in series:
        for row in one.values:
            parts.append(tag("path", d=_path(xs, row, y), class_=f"thin {one.style}"))
    for one in series:
        parts.append(tag("path", d=_path(xs, one.mean, y), class_=f"line {one.style}"))
        parts += [
            mark(one.style, x, y(value))
            for x, value in zip(xs, one.mean, strict=True)
            if is_known(value)
        ]
    parts += _end_labels(series, y)
    parts.append(tag("line", x1=0, x2=0, y1=TOP, y2=HEIGHT - BOTTOM, class_="cross"))
    missing = max((9 + LETTER * len(one.name) - RIGHT for one in series), default=0)
    return tag(
        "svg",
        *parts,
        class_="chart",
        viewBox=f"0 0 {WIDTH + max(missing, 0)} {HEIGHT}",
        role="img",
        tabindex=0,
        aria_label=label,
        data_chart=json.dumps({"x": xs, "text": readings(steps, series, write, nouns)}),
    )


def readings(
    steps: Sequence[int],
    series: Sequence[Series],
    write: Callable[[Any], str],
    nouns: Mapping[str, str],
) -> list[str]:
    """Put each checkpoint in words: the mean of every goal, and the range over seeds."""
    sentences = []
    for index, step in enumerate(steps):
        parts = [f"After {step:,} {nouns['experience']}"]
        for one in series:
            known = one.values[:, index][np.isfinite(one.values[:, index])]
            spread = f", seeds {write(known.min())} to {write(known.max())}" if len(known) > 1 else ""
            parts.append(f"{one.name}: {write(one.mean[index])}{spread}")
        sentences.append("\n".join(parts))
    return sentences


def _log_axis(steps: Sequence[int]) -> tuple[list[float], list[tuple[float, str]]]:
    """Compute the x of each checkpoint, and ticks as (x, text)."""
    positive = [step for step in steps if step > 0] or [1]
    low, high = math.log10(positive[0]), math.log10(positive[-1])
    zero = low - max(0.3, 0.1 * (high - low))
    start = zero if 0 in steps else low
    width = max(high - start, 1e-9)

    def x(logarithm: Number) -> float:
        return round(LEFT + (logarithm - start) / width * (WIDTH - RIGHT - LEFT), 1)

    decades = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    ticks = [(x(decade), short(10**decade)) for decade in decades]
    if len(ticks) < 2:
        ticks = [
            (x(math.log10(step)), short(step)) for step in dict.fromkeys((positive[0], positive[-1]))
        ]
    if 0 in steps:
        ticks.insert(0, (x(zero), "0"))
    return [x(math.log10(step) if step > 0 else zero) for step in steps], ticks


def short(value: Number) -> str:
    """Shorten a number: 1500000 becomes 1.5M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"


def _path(xs: Sequence[float], values: np.ndarray, y: Callable[[float], float]) -> str:
    """Draw a line through the known points, broken where one is missing."""
    pieces, pen = [], "M"
    for x, value in zip(xs, values, strict=True):
        if np.isfinite(value):
            pieces.append(f"{pen}{x} {y(value)}")
        pen = "L" if np.isfinite(value) else "M"
    return "".join(pieces)


def _end_labels(series: Sequence[Series], y: Callable[[float], float]) -> list[Markup]:
    """Write the goals' names at the right ends of their lines, moved apart where they would collide."""
    ends = [(y(one.mean[-1]), one) for one in series if len(one.mean) and is_known(one.mean[-1])]
    labels, previous = [], -math.inf
    for height, one in sorted(ends, key=lambda end: end[0]):
        previous = max(height, previous + 14)
        labels.append(
            tag("text", one.name, x=WIDTH - RIGHT + 9, y=previous + 4, class_=f"name {one.style}")
        )
    return labels
