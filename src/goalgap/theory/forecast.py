"""Calculate with a published probability model of goal misgeneralization: the forecast.

    P(harm) = P(capability generalizes) x P(goal fails | capability) x P(harm | misgeneralization)

for four types of shift, modified by how well the goal is specified, how capable the system is, how
diverse its training was and how it was aligned. Source: "Goal Misgeneralization Probability Model",
Longterm Wiki, entity E152, as of December 2025: an author's estimates, not peer-reviewed, and in places
at odds with themselves. `checks` works out where, from the numbers stored here; read it beside any
forecast.

Departures from the source: modifiers multiply odds, not probabilities, since the plain product exceeds 1
(it is shown beside, and flagged); intervals and the tornado are ours; measured runs may replace the
first two factors. Mitigations multiply the probability: "-20 to -40 %" is said of a probability, and a
factor below 1 cannot take it out of bounds.
"""

import functools
import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from ..core import Measurement, UsageError, measurement


class Range(NamedTuple):
    """Hold the two ends of a range of numbers."""

    low: float
    high: float


class ShiftType(NamedTuple):
    """Hold a row of the source's table of shifts.

    The row gives every factor but P(harm | misgeneralization), which follows from the others.
    """

    name: str
    example: str
    capability: float  # P(capability generalizes)
    goal: float  # P(goal fails | capability)
    base: float  # P(harm), before any modifier
    risk: Range  # P(harm) in the source's risk table

    @property
    def harm(self) -> float:
        """Work out P(significant harm | misgeneralization), which the source's table implies."""
        return self.base / (self.capability * self.goal)


SHIFTS = (
    ShiftType("superficial", "simulation to reality, style", 0.85, 0.12, 0.036, Range(0.01, 0.10)),
    ShiftType("moderate", "across cultures", 0.65, 0.28, 0.100, Range(0.03, 0.22)),
    ShiftType("significant", "cooperative to competitive", 0.55, 0.55, 0.218, Range(0.10, 0.42)),
    ShiftType("extreme", "evaluation to autonomy", 0.45, 0.75, 0.277, Range(0.13, 0.51)),
)
FACTORS = ("capability generalizes", "goal fails", "harm follows")
MODIFIERS = {
    "spec": Range(0.5, 2.0),  # well specified to badly
    "capability": Range(0.5, 3.0),  # below human to superhuman
    "diversity": Range(0.7, 1.4),  # of training: above .3 to below .1
    "alignment": Range(0.4, 1.5),  # verified by interpretability to behavioral cloning only
}
MITIGATIONS = {  # the share by which each lowers the probability
    "adversarial-training": Range(0.2, 0.4),
    "objective": Range(0.3, 0.5),
    "interpretability": Range(0.4, 0.7),
    "control": Range(0.6, 0.9),
}
# The rest of the source's numbers, which only `checks` needs.
CLAIMED_HARM = Range(0.5, 0.7)  # P(harm | misgeneralization), in the text
EVIDENCE = {  # the "meta-analysis": the three factors
    "Langosco": (0.95, 0.89, 0.60),
    "Krakovna": (0.87, 0.73, 0.41),
    "Shah": (0.78, 0.65, 0.35),
}
POOLED, CLAIMED_CASES = (0.87, 0.76, 0.45), 60
SPEC_BANDS = (  # quality of the specification, M_spec
    (Range(0.0, 0.3), Range(1.5, 2.0)),
    (Range(0.4, 0.7), Range(0.8, 1.2)),
    (Range(0.8, 1.0), Range(0.5, 0.7)),
)
DOMAINS = {  # P(harm) now, and in 2027
    "games": (Range(0.03, 0.12), Range(0.05, 0.15)),
    "moderation": (Range(0.12, 0.28), Range(0.20, 0.35)),
    "vehicles": (Range(0.08, 0.22), Range(0.12, 0.25)),
    "assistants": (Range(0.18, 0.35), Range(0.25, 0.40)),
    "agents": (Range(0.25, 0.45), Range(0.40, 0.60)),
}
SOON, LATER = 1.5, Range(3.0, 5.0)  # time multipliers: 2026-27, after 2030
# Two statements of the same thing: the mitigation, and the modifier's low end.
RESTATED = {"adversarial-training": "diversity", "objective": "spec", "interpretability": "alignment"}

TAIL = 0.05  # ranges and intervals are 5 % to 95 %
SAMPLES = Range(1_000, 1_000_000)


class Beta(NamedTuple):
    """Hold what is known of a probability, as a Beta distribution with parameters a and b."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        """Return the expected probability."""
        return self.a / (self.a + self.b)

    def quantile(self, share: float) -> float:
        """Return the probability below which a share of the distribution lies."""
        return float(special.betaincinv(self.a, self.b, share))


class Counts(NamedTuple):
    """Count what measured runs saw among their seeds.

    `works`: the seeds that work in training; `kept`: those of them that keep their capability after the
    shift; `failed`: those of `kept` that misgeneralize (the rest pursue what was intended, or a
    mixture).
    """

    works: int
    kept: int
    failed: int


class Input(NamedTuple):
    """Hold a number that goes into the forecast: its value, range, origin, and how it is drawn."""

    point: float
    low: float
    high: float
    origin: str
    draw: Callable[[np.random.Generator, int], Float[np.ndarray, " n"]]


class Distribution(NamedTuple):
    """Sum up a probability as drawn.

    `low` and `high` are its 5 % and 95 % quantiles, `error` is the standard error of `mean` due to
    drawing.
    """

    mean: float
    median: float
    low: float
    high: float
    error: float


class Bar(NamedTuple):
    """Hold a bar of the tornado: P(harm) with one input at either end of its range.

    The other inputs stay at their points.
    """

    name: str
    low_input: float
    high_input: float
    at_low: float
    at_high: float


class Forecast(NamedTuple):
    """Hold the forecast of P(significant harm) under one type of shift."""

    shift: ShiftType
    inputs: dict[str, Input]
    point: float  # every input at its point
    plain: float  # by the source's plain product, before mitigations: no probability where above 1
    base: Distribution  # the three factors alone, for comparison with `shift.risk`
    drawn: Distribution  # every input drawn
    overflowing: float  # share of draws whose plain product is above 1
    tornado: list[Bar]  # widest first
    measured: list[Measurement]
    notes: list[str]


class Check(NamedTuple):
    """Hold something that the source says or implies against the source's own numbers."""

    expected: str
    found: str
    holds: bool
    basis: str = "arithmetic"


# -- the model ---------------------------------------------------------------------------------------


def in_odds(base: Any, multiplier: Any) -> Any:
    """Multiply the odds of the probability `base`.

    The result stays between 0 and 1, and is about `base * multiplier` where that is small.
    """
    return base * multiplier / (1 - base + base * multiplier)


def probability(values: Mapping[str, Any]) -> Any:
    """Compute P(significant harm) for values of the inputs by name: numbers, or arrays of draws.

    It is the product of the three factors, with its odds multiplied by the modifiers, times the share
    that the mitigations leave.
    """
    left = math.prod(1 - values.get(name, 0.0) for name in MITIGATIONS)
    return in_odds(*_base_and_multiplier(values)) * left


def plain_product(values: Mapping[str, Any]) -> Any:
    """Compute the source's formula, P_base x M_spec x M_cap x M_div x M_align. It can exceed 1."""
    return math.prod(_base_and_multiplier(values))


def _base_and_multiplier(values: Mapping[str, Any]) -> tuple[Any, Any]:
    return math.prod(values[name] for name in FACTORS), math.prod(values[name] for name in MODIFIERS)


@functools.cache
def concentration(shift: ShiftType) -> float:
    """Fit how much we take the source to know: the n of its factors' Beta(n * mean, n * (1 - mean)).

    One n serves all three factors, so that the product's 5 % and 95 % quantiles come nearest to the
    range in the risk table, in squared log odds. The means stay at the documented values; so the mean of
    the product is P_base, and the ends are met only as far as one number can. For the fit the product
    counts as a Beta with its mean and variance (Fan 1991, Communications in Statistics 20, 4043-4052).
    """
    means = np.array([shift.capability, shift.goal, shift.harm])
    wanted = special.logit(np.array(shift.risk))

    def miss(log_n: float) -> float:
        n = np.exp(log_n)
        mean, square = means.prod(), (means * (means * n + 1) / (n + 1)).prod()
        total = mean * (1 - mean) / (square - mean**2) - 1
        ends = special.betaincinv(mean * total, (1 - mean) * total, [TAIL, 1 - TAIL])
        return float(np.sum((special.logit(ends) - wanted) ** 2))

    found: Any = optimize.minimize_scalar(miss, bounds=(0, np.log(1000)), method="bounded")
    return float(np.exp(found.x))


def forecast(
    shift: ShiftType,
    modifiers: Mapping[str, float] | None = None,
    mitigations: Collection[str] = (),
    counts: Counts | None = None,
    num_samples: int = 100_000,
    seed: int = 0,
) -> Forecast:
    """Forecast P(significant harm) under a type of shift, with its uncertainty and what it hangs on.

    `modifiers` by name, within `MODIFIERS`; one not given counts 1 in the point, and is drawn
    log-uniformly from its range. `mitigations`: names of `MITIGATIONS`, at the middle of the documented
    effect, drawn uniformly from it, independent of each other. `counts` of measured seeds replace the
    first two factors by posteriors under Jeffreys' prior.

    Raises UsageError for unknown names, modifiers outside their range, counts that cannot be, and
    `num_samples` outside `SAMPLES`.
    """
    modifiers = modifiers or {}
    _refuse(modifiers, mitigations, counts, num_samples, seed)
    inputs = _factors(shift, counts)
    inputs |= {name: _modifier(name, modifiers.get(name)) for name in MODIFIERS}
    inputs |= {name: _mitigation(name) for name in MITIGATIONS if name in mitigations}

    rng = np.random.default_rng(seed)
    draws = {name: item.draw(rng, num_samples) for name, item in inputs.items()}
    points = {name: item.point for name, item in inputs.items()}
    plain = plain_product(points)
    return Forecast(
        shift=shift,
        inputs=inputs,
        point=probability(points),
        plain=plain,
        base=_distribution(np.prod([draws[name] for name in FACTORS], axis=0)),
        drawn=_distribution(probability(draws)),
        overflowing=float(np.mean(plain_product(draws) > 1)),
        tornado=_tornado(inputs, points),
        measured=_measured(counts),
        notes=_notes(plain, mitigations, counts),
    )


def _refuse(
    modifiers: Mapping[str, float],
    mitigations: Collection[str],
    counts: Counts | None,
    num_samples: int,
    seed: int,
) -> None:
    for kind, given, known in (
        ("modifier", modifiers, MODIFIERS),
        ("mitigation", mitigations, MITIGATIONS),
    ):
        for name in given:
            if name not in known:
                raise UsageError(f"{name!r} is no {kind}; expected one of {', '.join(known)}")
    for name, value in modifiers.items():
        low, high = MODIFIERS[name]
        if not low <= value <= high:  # also refuses NaN
            raise UsageError(
                f"{name} is {value:g}; expected the documented {low:g} to {high:g}; 1 changes nothing"
            )
    if counts is not None and not 0 <= counts.failed <= counts.kept <= counts.works:
        raise UsageError(f"{counts} cannot be; expected 0 <= failed <= kept <= works")
    if counts is not None and not counts.works:
        raise UsageError("no seed works in training, so nothing was measured; train longer")
    if not SAMPLES.low <= num_samples <= SAMPLES.high:
        raise UsageError(f"samples is {num_samples}; expected {SAMPLES.low:,} to {SAMPLES.high:,}")
    if seed < 0:
        raise UsageError(f"seed is {seed}; seeds are whole numbers from 0")


def posterior(successes: int, n: int) -> Beta:
    """Return what is known of a share after seeing n units (Jeffreys' prior, Beta(1/2, 1/2))."""
    return Beta(successes + 0.5, n - successes + 0.5)


def _factors(shift: ShiftType, counts: Counts | None) -> dict[str, Input]:
    n = concentration(shift)
    means = (shift.capability, shift.goal, shift.harm)
    known = {
        name: (Beta(n * mean, n * (1 - mean)), "documented")
        for name, mean in zip(FACTORS, means, strict=True)
    }
    known["harm follows"] = (known["harm follows"][0], "implied")
    for name, successes, total in _observed(counts):
        known[name] = (posterior(successes, total), f"{total} seeds")
    return {
        name: Input(
            beta.mean,
            beta.quantile(TAIL),
            beta.quantile(1 - TAIL),
            origin,
            lambda rng, num, beta=beta: rng.beta(beta.a, beta.b, num),
        )
        for name, (beta, origin) in known.items()
    }


def _observed(counts: Counts | None) -> list[tuple[str, int, int]]:
    """List the measured factors as (name, successes, n).

    Where no seed kept its capability, nothing was seen of the goal, and its documented value has to do.
    """
    if counts is None:
        return []
    rows = [(FACTORS[0], counts.kept, counts.works), (FACTORS[1], counts.failed, counts.kept)]
    return [row for row in rows if row[2]]


def _modifier(name: str, given: float | None) -> Input:
    low, high = MODIFIERS[name]
    if given is not None:
        return Input(given, low, high, "given", lambda rng, num: np.full(num, given, dtype=float))
    return Input(
        1.0, low, high, "not given", lambda rng, num: np.exp(rng.uniform(np.log(low), np.log(high), num))
    )


def _mitigation(name: str) -> Input:
    low, high = MITIGATIONS[name]
    return Input((low + high) / 2, low, high, "documented", lambda rng, num: rng.uniform(low, high, num))


def _distribution(draws: Float[np.ndarray, " n"]) -> Distribution:
    low, median, high = np.quantile(draws, [TAIL, 0.5, 1 - TAIL])
    error = draws.std(ddof=1) / math.sqrt(draws.size)
    return Distribution(float(draws.mean()), float(median), float(low), float(high), float(error))


def _tornado(inputs: Mapping[str, Input], points: Mapping[str, float]) -> list[Bar]:
    bars = [
        Bar(
            name,
            item.low,
            item.high,
            probability({**points, name: item.low}),
            probability({**points, name: item.high}),
        )
        for name, item in inputs.items()
    ]
    return sorted(bars, key=lambda bar: -abs(bar.at_high - bar.at_low))


def _measured(counts: Counts | None) -> list[Measurement]:
    """Measure the factors that were counted, with 95 % posterior intervals."""
    rows = []
    for name, successes, n in _observed(counts):
        beta = posterior(successes, n)
        ends = beta.quantile(0.025), beta.quantile(0.975)
        rows.append(measurement(f"P({name})", beta.mean, *ends, n, "seeds"))
    return rows


def _notes(plain: float, mitigations: Collection[str], counts: Counts | None) -> list[str]:
    notes = []
    if plain > 1:
        notes.append(f"The source's plain product is {percent(plain)}: no probability.")
    for name in MITIGATIONS:
        if name in mitigations and name in RESTATED:
            modifier = RESTATED[name]
            notes.append(
                f"The mitigation {name} and a low {modifier} modifier say the same thing twice: with "
                f"--mitigations {name}, give --{modifier} as it would be without."
            )
    if counts is not None:
        notes.append(
            "The measured factors are those of the runs' own shift, and seeds of several runs count as "
            "one sample; whether harm follows remains the source's estimate."
        )
        if not counts.kept:
            notes.append("No seed kept its capability: P(goal fails) is the documented one.")
    return notes


# -- the source, held against itself -----------------------------------------------------------------


def checks(shifts: Sequence[ShiftType] = SHIFTS) -> list[Check]:
    """Check what ought to hold of the source's numbers against what they say."""
    parts = (_table_checks, _modifier_checks, _evidence_checks, _time_checks)
    return [check for part in parts for check in part(shifts)]


def percent(share: float) -> str:
    """Write a share in percent: with three digits, or with all digits before the point."""
    return f"{100 * share:.3g} %" if share < 1 else f"{100 * share:.0f} %"


def _span(values: Sequence[float]) -> str:
    return f"{percent(min(values))} to {percent(max(values))}"


def _table_checks(shifts: Sequence[ShiftType]) -> list[Check]:
    harms = [shift.harm for shift in shifts]
    outside = [s.name for s in shifts if not s.risk.low <= s.base <= s.risk.high]
    beyond = {s.name: s.risk.high / (s.capability * s.goal) for s in shifts}
    beyond = {name: harm for name, harm in beyond.items() if harm > 1}
    tops = ", ".join(f"{name} {percent(harm)}" for name, harm in beyond.items())
    return [
        Check(
            f"P(harm | misgeneralization) is {_span(CLAIMED_HARM)}",
            f"P_base / (P(capability) x P(goal fails)) is {_span(harms)}",
            all(CLAIMED_HARM.low <= harm <= CLAIMED_HARM.high for harm in harms),
        ),
        Check(
            "the risk table's ranges contain P_base",
            f"outside: {', '.join(outside)}" if outside else "they do",
            not outside,
        ),
        Check(
            "the tops of the risk table's ranges can be reached by worse harm alone",
            f"with the documented first two factors they need P(harm | misgeneralization) of {tops}"
            if beyond
            else "they can",
            not beyond,
        ),
    ]


def _modifier_checks(shifts: Sequence[ShiftType]) -> list[Check]:
    lowest = math.prod(modifier.low for modifier in MODIFIERS.values())
    highest = math.prod(modifier.high for modifier in MODIFIERS.values())
    ends = [shift.base * end for shift in shifts for end in (lowest, highest)]
    wider = [s.name for s in shifts if s.base * lowest < s.risk.low and s.base * highest > s.risk.high]
    holes = [(one.high, two.low) for (one, _), (two, _) in itertools.pairwise(SPEC_BANDS)]
    holes = ", ".join(f"{low:g} to {high:g}" for low, high in holes if low < high)
    same = []
    for name, modifier in RESTATED.items():
        effect, start = MITIGATIONS[name], MODIFIERS[modifier].low
        if effect.low <= round(1 - start, 9) <= effect.high:
            same.append(f"{name} takes {_span(effect)}, the low end of {modifier} {percent(1 - start)}")
    return [
        Check(
            "P_base x M_spec x M_cap x M_div x M_align is a probability",
            f"it spans {_span(ends)}",
            max(ends) <= 1,
        ),
        Check(
            "the risk table's ranges cover what the modifiers do",
            f"modifiers multiply by {lowest:.2g} to {highest:.3g}, more than the range both ways for "
            f"{', '.join(wider)}"
            if wider
            else "they do",
            not wider,
        ),
        Check(
            "every quality of specification has its M_spec",
            f"none is given for {holes}" if holes else "it has",
            not holes,
        ),
        Check(
            "mitigations and modifiers are separate effects",
            "; ".join(same) if same else "they are",
            not same,
        ),
    ]


def _evidence_checks(shifts: Sequence[ShiftType]) -> list[Check]:
    rows = np.array(list(EVIDENCE.values()))
    means, products = rows.mean(0), rows.prod(1)
    is_mean = bool(np.all(np.abs(means - POOLED) <= 0.005 + 1e-9))
    pooled, highest = math.prod(POOLED), max(shift.base for shift in shifts)
    games, _ = DOMAINS["games"]
    return [
        Check(
            f"the pooled {_row(POOLED)} weighs {CLAIMED_CASES}+ cases",
            f"it {'is' if is_mean else 'is not'} the plain mean of {len(rows)} rows, {_row(means, 1)}",
            not is_mean,
        ),
        Check(
            "the pooled evidence agrees with the tables",
            f"its product is {percent(pooled)} (mean of its rows: {percent(products.mean())}), "
            f"against at most {percent(highest)} for any type of shift and {_span(games)} for games",
            pooled <= highest and games.low <= pooled <= games.high,
        ),
        Check(
            "the papers cited report the shares of the pooled evidence",
            f"none reports the {_row(rows[:, 2])} % of harm, nor Langosco et al. {_row(rows[0, :2])} %",
            False,
            "our reading of the papers",
        ),
    ]


def _row(shares: Sequence[float] | Float[np.ndarray, " n"], decimals: int = 0) -> str:
    return "/".join(f"{100 * share:.{decimals}f}" for share in shares)


def _time_checks(shifts: Sequence[ShiftType]) -> list[Check]:
    growth = [sum(then) / sum(now) for now, then in DOMAINS.values()]
    over = {shift.name: shift.base * LATER.high for shift in shifts}
    over |= {name: now.high * LATER.high for name, (now, _) in DOMAINS.items()}
    listed = ", ".join(f"{name} to {percent(value)}" for name, value in over.items() if value > 1)
    return [
        Check(
            f"until 2027 risk grows {SOON:g}-fold",
            f"the domain table's midpoints grow {min(growth):.2f}- to {max(growth):.2f}-fold",
            min(growth) <= SOON <= max(growth),
        ),
        Check(
            f"after 2030 risk grows {LATER.low:g}- to {LATER.high:g}-fold",
            f"{LATER.high:g}-fold takes {listed}" if listed else "no risk exceeds 1",
            not listed,
        ),
    ]
