"""The forecast: known answers, direct evaluation, quadrature, and the verb's page and mistakes."""

import itertools
import json
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from test_cli import fails

from goalgap.cli import call
from goalgap.core import UsageError
from goalgap.theory import forecast as model

SHIFTS = {shift.name: shift for shift in model.SHIFTS}
NEUTRAL = dict.fromkeys(model.MODIFIERS, 1.0)
MODIFIERS = st.fixed_dictionaries(
    {}, optional={name: st.floats(low, high) for name, (low, high) in model.MODIFIERS.items()}
)
any_shift = pytest.mark.parametrize("shift", model.SHIFTS, ids=list(SHIFTS))


def few(shift: model.ShiftType, *args, **options) -> model.Forecast:
    return model.forecast(shift, *args, num_samples=1000, **options)


# -- the point ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("superficial", 3.6), ("moderate", 10.0), ("significant", 21.8), ("extreme", 27.7)],
)
def test_the_documented_defaults_give_the_documented_answers(name, expected):
    result = few(SHIFTS[name])
    assert 100 * result.point == pytest.approx(expected)
    assert result.plain == pytest.approx(result.point)


def test_the_plain_product_spans_what_no_probability_can():
    """The corners of all modifiers' ranges, under all types of shift."""
    corners = itertools.product(*model.MODIFIERS.values())
    results = [
        few(shift, dict(zip(model.MODIFIERS, corner, strict=True)))
        for corner in corners
        for shift in model.SHIFTS
    ]
    plain = [result.plain for result in results]
    assert 100 * min(plain) == pytest.approx(0.25, abs=0.005)
    assert 100 * max(plain) == pytest.approx(349, abs=0.5)
    assert all(0 < result.point < 1 for result in results)
    assert {"no probability" in " ".join(result.notes) for result in results if result.plain > 1} == {
        True
    }


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1e-3, 1e3))
def test_modifiers_multiply_odds(base, multiplier):
    expected = scipy.special.expit(scipy.special.logit(base) + np.log(multiplier))
    assert model.in_odds(base, multiplier) == pytest.approx(expected)
    assert 0 < model.in_odds(base, multiplier) < 1


@given(
    st.sampled_from(model.SHIFTS),
    MODIFIERS,
    st.sets(st.sampled_from(list(model.MITIGATIONS))),
    st.integers(0, 9),
)
def test_nothing_leaves_0_to_1(shift, modifiers, mitigations, seed):
    result = few(shift, modifiers, sorted(mitigations), seed=seed)
    assert 0 < result.point < 1
    assert 0 < result.drawn.low <= result.drawn.median <= result.drawn.high < 1
    assert all(0 < end < 1 for bar in result.tornado for end in (bar.at_low, bar.at_high))


@pytest.mark.parametrize("name", model.MODIFIERS)
@given(shift=st.sampled_from(model.SHIFTS), others=MODIFIERS)
def test_the_forecast_rises_with_each_modifier(name, shift, others):
    values = np.linspace(*model.MODIFIERS[name], 5)
    points = [few(shift, others | {name: float(value)}).point for value in values]
    assert np.all(np.diff(points) > 0)


@pytest.mark.parametrize("name", model.MITIGATIONS)
def test_mitigations_multiply_the_probability_by_what_they_leave(name):
    shift = SHIFTS["extreme"]
    modifiers = {"capability": 3.0}
    mitigated, unmitigated = few(shift, modifiers, [name]), few(shift, modifiers)
    assert mitigated.point / unmitigated.point == pytest.approx(1 - sum(model.MITIGATIONS[name]) / 2)
    assert mitigated.plain == pytest.approx(unmitigated.plain) == pytest.approx(3 * shift.base)


# -- what it hangs on --------------------------------------------------------------------------------


@any_shift
def test_the_tornado_agrees_with_direct_evaluation(shift):
    given_modifiers = {"spec": 1.5, "alignment": 0.6}
    result = few(shift, given_modifiers, ["control"])
    bars = {bar.name: bar for bar in result.tornado}
    assert set(bars) == {*model.FACTORS, *model.MODIFIERS, "control"}
    for name, (low, high) in model.MODIFIERS.items():
        ends = [few(shift, given_modifiers | {name: end}, ["control"]).point for end in (low, high)]
        np.testing.assert_allclose((bars[name].at_low, bars[name].at_high), ends)
    means = dict(zip(model.FACTORS, (shift.capability, shift.goal, shift.harm), strict=True))
    n = model.concentration(shift)
    for name, mean in means.items():
        ends = scipy.stats.beta(n * mean, n * (1 - mean)).ppf([0.05, 0.95])
        bases = shift.base / mean * ends
        odds = bases / (1 - bases) * 1.5 * 0.6
        np.testing.assert_allclose((bars[name].at_low, bars[name].at_high), 0.25 * odds / (1 + odds))
    widths = [abs(bar.at_high - bar.at_low) for bar in result.tornado]
    assert widths == sorted(widths, reverse=True)


# -- Monte Carlo -------------------------------------------------------------------------------------


@any_shift
def test_the_factors_alone_average_to_the_point(shift):
    """Within four of the stated standard errors; and the errors are the right size."""
    results = [few(shift, NEUTRAL, seed=seed) for seed in range(40)]
    scores = np.array([(r.drawn.mean - r.point) / r.drawn.error for r in results])
    assert np.abs(scores).max() < 4
    assert 0.7 < scores.std() < 1.3
    assert results[0].drawn == pytest.approx(results[0].base)


@pytest.mark.parametrize("counts", [None, model.Counts(8, 7, 5)])
@pytest.mark.parametrize("multiplier", [0.5, 3.0])
def test_the_mean_agrees_with_quadrature(multiplier, counts):
    """Gauss-Jacobi over the three Beta factors, whose modified odds have no simple mean."""
    shift = SHIFTS["significant"]
    n = model.concentration(shift)
    betas = [(n * mean, n * (1 - mean)) for mean in (shift.capability, shift.goal, shift.harm)]
    if counts is not None:
        betas[:2] = [(7.5, 1.5), (5.5, 2.5)]
    rules = [scipy.special.roots_sh_jacobi(30, a + b - 1, a) for a, b in betas]
    base = np.einsum("i,j,k->ijk", *(nodes for nodes, _ in rules))
    weight = np.einsum("i,j,k->ijk", *(weights / weights.sum() for _, weights in rules))
    expected = np.sum(weight * scipy.special.expit(scipy.special.logit(base) + np.log(multiplier)))
    drawn = model.forecast(shift, NEUTRAL | {"capability": multiplier}, counts=counts).drawn
    assert abs(drawn.mean - expected) < 4 * drawn.error < 0.01


@any_shift
def test_the_spread_fits_the_risk_table_as_well_as_one_number_can(shift):
    """By the quantiles of draws: more or less concentration is worse, and the ends are near."""
    rng = np.random.default_rng(0)
    means = (shift.capability, shift.goal, shift.harm)

    def miss(n: float) -> float:
        product = np.prod([rng.beta(n * mean, n * (1 - mean), 100_000) for mean in means], axis=0)
        ends = np.quantile(product, [0.05, 0.95])
        return float(np.sum((scipy.special.logit(ends) - scipy.special.logit(shift.risk)) ** 2))

    best = model.concentration(shift)
    assert miss(best) < min(miss(best / 1.5), miss(best * 1.5))
    np.testing.assert_allclose(model.forecast(shift).base[2:4], shift.risk, rtol=0.25)


def test_modifiers_not_given_are_drawn_log_uniformly():
    rng = np.random.default_rng(0)
    for name, item in few(SHIFTS["moderate"]).inputs.items():
        if name in model.MODIFIERS:
            low, high = np.log(model.MODIFIERS[name])
            uniform = (np.log(item.draw(rng, 2000)) - low) / (high - low)
            assert scipy.stats.kstest(uniform, "uniform").pvalue > 0.001


def test_the_seed_decides_the_draws():
    first, again, other = (few(SHIFTS["moderate"], seed=seed).drawn for seed in (3, 3, 4))
    assert first == again != other


# -- measured runs -----------------------------------------------------------------------------------


def test_measured_seeds_give_posterior_means():
    shift = SHIFTS["moderate"]
    result = few(shift, counts=model.Counts(works=8, kept=7, failed=5))
    assert result.inputs["capability generalizes"].point == pytest.approx(7.5 / 9)
    assert result.inputs["goal fails"].point == pytest.approx(5.5 / 8)
    assert result.inputs["harm follows"].point == pytest.approx(shift.harm)
    assert result.point == pytest.approx(7.5 / 9 * 5.5 / 8 * shift.harm)
    kept, failed = result.measured
    np.testing.assert_allclose(kept[2:4], scipy.stats.beta(7.5, 1.5).ppf([0.025, 0.975]))
    assert (kept.n, kept.unit, failed.n, failed.unit) == (8, "seeds", 7, "seeds")


def test_many_seeds_leave_no_doubt_about_the_measured_factors():
    result = model.forecast(
        SHIFTS["moderate"], NEUTRAL, counts=model.Counts(2_000_000, 1_000_000, 250_000)
    )
    harm = result.inputs["harm follows"]
    assert result.drawn.low == pytest.approx(harm.low / 8, rel=0.02)
    assert result.drawn.high == pytest.approx(harm.high / 8, rel=0.02)


def test_where_no_seed_kept_its_capability_the_goal_is_not_measured():
    result = few(SHIFTS["extreme"], counts=model.Counts(4, 0, 0))
    assert result.inputs["goal fails"].point == pytest.approx(SHIFTS["extreme"].goal)
    assert len(result.measured) == 1
    assert "No seed kept its capability" in " ".join(result.notes)


def test_an_impossible_product_is_said_in_full_digits():
    worst = {name: high for name, (_, high) in model.MODIFIERS.items()}
    result = few(SHIFTS["extreme"], worst, counts=model.Counts(400, 400, 400))
    assert result.plain > 10 and f"is {100 * result.plain:.0f} %: no probability" in result.notes[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"modifiers": {"spec": 2.1}}, "spec is 2.1; expected the documented 0.5 to 2"),
        ({"modifiers": {"alignment": float("nan")}}, "alignment is nan"),
        ({"modifiers": {"size": 1.0}}, "'size' is no modifier; expected one of spec"),
        ({"mitigations": ["luck"]}, "'luck' is no mitigation"),
        ({"counts": model.Counts(4, 5, 0)}, "expected 0 <= failed <= kept <= works"),
        ({"counts": model.Counts(0, 0, 0)}, "no seed works in training"),
        ({"num_samples": 999}, "samples is 999; expected 1,000 to 1,000,000"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_inputs_are_refused(options, expected):
    with pytest.raises(UsageError, match=expected.replace("(", r"\(")):
        model.forecast(SHIFTS["moderate"], **options)


# -- the contradictions ------------------------------------------------------------------------------


def test_the_contradictions_are_found():
    found = {check.expected: check.found for check in model.checks() if not check.holds}
    text = " | ".join(f"{expected}: {what}" for expected, what in found.items())
    for part in (
        "is 50 % to 70 %: P_base / (P(capability) x P(goal fails)) is 35.3 % to 82.1 %",
        "it spans 0.252 % to 349 %",
        "the pooled 87/76/45 weighs 60+ cases: it is the plain mean of 3 rows, 86.7/75.7/45.3",
        "its product is 29.8 %",
        "moderate 121 %, significant 139 %, extreme 151 %",
        "none is given for 0.3 to 0.4, 0.7 to 0.8",
        "grow 1.23- to 1.43-fold",
    ):
        assert part in text
    readings = [check for check in model.checks() if check.basis != "arithmetic"]
    assert [check.basis for check in readings] == ["our reading of the papers"]


def test_other_numbers_are_judged_otherwise():
    """A table that is in order, and one that is worse: the checks are computed, not recited."""
    fine = model.ShiftType("fine", "", 0.5, 0.5, 0.15, model.Range(0.1, 0.2))
    outside = fine._replace(name="odd", base=0.21, risk=model.Range(0.005, 0.2))
    judged = {check.expected: check for check in model.checks([fine])}
    assert judged["P(harm | misgeneralization) is 50 % to 70 %"].holds
    assert judged["the tops of the risk table's ranges can be reached by worse harm alone"].holds
    worse = {check.expected: check for check in model.checks([fine, outside])}
    contains = "the risk table's ranges contain P_base"
    assert judged[contains].holds and worse[contains].found == "outside: odd"
    assert "60 % to 84 %" in worse["P(harm | misgeneralization) is 50 % to 70 %"].found


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("POOLED", (0.95, 0.80, 0.45), "the pooled 95/80/45 weighs 60+ cases"),
        ("POOLED", (0.40, 0.40, 0.45), "the pooled evidence agrees with the tables"),
        (
            "MODIFIERS",
            {"spec": model.Range(0.9, 1.1)},
            "the risk table's ranges cover what the modifiers do",
        ),
        ("MITIGATIONS", dict.fromkeys(model.RESTATED, model.Range(0.01, 0.02)), "are separate effects"),
        ("SPEC_BANDS", model.SPEC_BANDS[:1], "every quality of specification has its M_spec"),
        ("SOON", 1.3, "until 2027 risk grows 1.3-fold"),
        ("LATER", model.Range(1.0, 1.5), "after 2030 risk grows 1- to 1.5-fold"),
    ],
)
def test_each_contradiction_goes_when_its_numbers_are_repaired(monkeypatch, name, value, expected):
    if name == "MODIFIERS":
        monkeypatch.setattr(model, "RESTATED", {})
    monkeypatch.setattr(model, name, value)
    assert [check.holds for check in model.checks() if expected in check.expected] == [True]


# -- the verb ----------------------------------------------------------------------------------------


def run_folder(path: Path, *seeds: tuple[str, float | None], digest: str = "") -> str:
    """A folder with what the forecast reads of a run: each seed's verdict and score in training."""
    rows = [{"verdict": verdict, "intent_train": score} for verdict, score in seeds]
    path.mkdir()
    (path / "experiment.json").write_text(json.dumps({"hash": digest or path.name}))
    (path / "verdict.json").write_text(json.dumps({"seeds": rows, "thresholds": {"works": 0.5}}))
    return str(path)


def test_the_verb_prints_json(capsys, tmp_path):
    assert call(["forecast", "--json", "--samples", "1000", "--out", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["scenario"] for row in printed["scenarios"]] == list(SHIFTS)
    assert printed["scenarios"][3]["probability"] == pytest.approx(0.277)
    assert json.loads((tmp_path / "forecast.json").read_text()) == printed
    picture = (tmp_path / "tornado.svg").read_bytes()
    assert xml.etree.ElementTree.fromstring(picture).tag.endswith("svg")
    assert call(["forecast", "--samples", "1000", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "tornado.svg").read_bytes() == picture


def test_the_verb_prints_a_page(capsys):
    options = ["--spec", "2", "--capability", "3", "--mitigations", "control,interpretability"]
    assert call(["forecast", "extreme", *options]) == 0
    page = " ".join(capsys.readouterr().out.split())
    for part in (
        "P(harm follows) 82.1",
        "Pin down first: control effect",
        "Not given: diversity, alignment;",
        "give --alignment as it would be without",
        "Where the model disagrees with itself",
        "0.252 % to 349 %",
    ):
        assert part in page


def test_measured_runs_are_pooled(capsys, tmp_path):
    first = run_folder(
        tmp_path / "a", ("goal misgeneralization", 0.9), ("capability failure", 0.8), ("intended", 0.7)
    )
    second = run_folder(
        tmp_path / "b", ("mixed", 0.5), ("capability failure", 0.4), ("capability failure", None)
    )
    assert call(["forecast", "moderate", "--runs", first, second, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["counts"] == {"works": 4, "kept": 3, "failed": 1, "unit": "seeds"}
    expected = 3.5 / 5 * 1.5 / 4 * SHIFTS["moderate"].harm
    assert printed["scenarios"][0]["probability"] == pytest.approx(expected)
    assert call(["forecast", "moderate", "--runs", first, second]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "Measured (2 runs, pooled): 3 of 4 seeds that work in training keep their capability" in page
    assert "n = 4 seeds" in page


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("extrem",), "unknown scenario 'extrem'; did you mean extreme?"),
        (("--mitigations", "contrl"), "unknown mitigation 'contrl'; did you mean control?"),
        (("--spec", "3"), "spec is 3; expected the documented 0.5 to 2"),
        (("--alignment", "low"), "could not convert"),
        (("--samples", "10"), "samples is 10; expected"),
        (("--runs", "nowhere"), "nowhere is no folder"),
        (("--runs",), "--runs names no folder"),
        (("--divresity", "1"), "did you mean --diversity?"),
    ],
)
def test_mistakes_get_one_line(capsys, argv, expected):
    assert expected in fails(capsys, "forecast", *argv)


def test_unfit_runs_get_one_line(capsys, tmp_path):
    good = run_folder(tmp_path / "good", ("intended", 0.9))
    idle = run_folder(tmp_path / "idle", ("capability failure", 0.1))
    copy = run_folder(tmp_path / "copy", ("intended", 0.9), digest="good")
    unfinished = run_folder(tmp_path / "unfinished", ("intended", 0.9))
    (tmp_path / "unfinished" / "verdict.json").unlink()
    damaged = run_folder(tmp_path / "damaged", ("intended", 0.9))
    (tmp_path / "damaged" / "verdict.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for folders, expected in (
        ((idle,), "no seed works in training"),
        ((good, copy), "give each run once"),
        ((unfinished,), "is not finished"),
        ((damaged,), "is damaged"),
        ((str(tmp_path / "empty"),), "experiment.json is missing"),
    ):
        assert expected in fails(capsys, "forecast", "--runs", *folders)


def test_the_verb_explains_itself(capsys):
    with pytest.raises(SystemExit) as stop:
        call(["forecast", "--help"])
    assert stop.value.code == 0
    assert "--mitigations" in capsys.readouterr().out
