"""Run evaluations from Python, and read Inspect's logs back into outcomes, verdicts and reports."""

import datetime
import difflib
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from inspect_ai import eval as inspect_eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog, EvalSample, read_eval_log
from inspect_ai.model import get_model

from ... import measure, runs, store
from ...core import Measurement, UsageError
from ...language.dialogues import padded
from ...language.exam import PromptExam, rows_of, transcripts
from ...language.scenario import SPLITS, UNKNOWN, Aim, Dialogue, Prompts
from ...literature import paper
from ...measure.exam import Split
from . import _registry, conversations
from .installed import SYCOPHANCY
from .measures import ERROR, FAILURES, TIMEOUT, Row, measured
from .scorers import dialogue_of, row_of

SHOWN = 12  # transcripts of each condition


class Answers:
    """Treat SycophancyEval's answer task as a contest of telling the truth and agreeing.

    Where the user is right (`train`) the two are the same; where the user is wrong (`shift`) they part.
    """

    kind: ClassVar[str] = "language"
    name: ClassVar[str] = "answer"
    title: ClassVar[str] = "Answers to users with beliefs"
    papers: ClassVar[tuple[str, ...]] = ("2310.13548",)
    # The condition that stands for each split; the twin of a wrong user is a right one.
    conditions: ClassVar[dict[str, str]] = {
        "train": "believes right",
        "shift": "believes wrong",
        "twin": "believes right",
        "capability": "plain",
    }

    @property
    def goals(self) -> tuple[Aim, ...]:
        """List the intended goal, then the proxy."""
        return Aim("truth", "tell the truth"), Aim("agree", "agree with the user")


def evaluate(
    task: str,
    model: str,
    out: Path,
    grader: str | None = None,
    task_args: dict[str, Any] | None = None,
    model_args: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Evaluate a model; `adapters.inspect.evaluate` explains the arguments."""
    known = (*SYCOPHANCY, *_registry.SCENARIOS)
    if task not in known:
        near = difflib.get_close_matches(task, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise UsageError(f"there is no task {task!r}; {hint}")
    try:
        # Not from Inspect's memory: our models count how often they were asked.
        subject = get_model(model, memoize=False, **(model_args or {}))
    except (PrerequisiteError, ValueError) as error:  # ValueError: no such provider
        raise UsageError(_plain(error)) from None
    try:
        (log,) = inspect_eval(
            f"goalgap/{task}",
            model=subject,
            model_roles={"grader": grader} if grader else None,
            task_args=task_args or {},
            log_dir=str(out),
            **({"display": "none", "fail_on_error": False} | options),
        )
    except PrerequisiteError as error:
        raise UsageError(_plain(error)) from None
    if log.status != "success":
        problem = log.error.message if log.error else log.status
        raise UsageError(f"{task} on {model} did not end well: {problem}; the log is {log.location}")
    return Path(log.location)


def _plain(error: Exception) -> str:
    """Shorten what Inspect says to one line."""
    text = str(getattr(error, "message", error)).removeprefix("ERROR: ")
    return " ".join(re.sub(r"\[/?[a-z]+\]|\\(?=\[)", "", text).split())


def measure_log(path: Path, out: Path) -> Path:
    """Read a log back; `adapters.inspect.measure_log` explains the arguments."""
    log = _read(path)
    name, scenario = _task_of(log, path)
    samples = log.samples or []
    if all(sample.error for sample in samples):
        problem = samples[0].error.message if samples and samples[0].error else "it has no samples"
        raise UsageError(f"{path}: no sample was answered; the first says: {problem}")
    rows = [_row(sample) for sample in samples]
    found = measured(scenario or name, rows)
    subject = log.eval.model
    if subject.startswith("goalgap/"):  # of a run's folder, the name
        subject = f"goalgap/{subject.split('/')[-1]}"
    safe = re.sub(r"[^A-Za-z0-9]+", "-", subject).strip("-")[-60:]
    folder = out / f"{name}-{safe}-{log.eval.eval_id[:8]}"
    args = dict(log.eval.task_args)
    about = {
        "format": store.FORMAT,
        "subject": subject,
        **store.provenance("goalgap.adapters.inspect.measure_log"),
    }
    described = {"type": name, "log": path.name, "model_args": log.eval.model_args, **args}
    store.write_json(folder / "experiment.json", about | {"experiment": store.plain(described)})
    store.write_json(folder / "replies.json", [one._asdict() for one in found])
    _write_summary(folder / "summary.md", name, subject, found, rows)
    began = time.perf_counter() - _seconds(log)
    if scenario:
        _judge_scenario(folder, path, scenario, args, samples, subject, began)
    elif name == "answer":
        _judge_answers(folder, samples, subject, began)
    else:
        store.write_json(folder / "measurements.json", [one._asdict() for one in found])
        shown = [_spoken(sample, row.condition, _category(row)) for sample, row in _some(samples, rows)]
        store.write_json(folder / "transcripts.json", shown)
    return folder


def _read(path: Path) -> EvalLog:
    try:
        log = read_eval_log(str(path))
    except Exception as error:  # a zip, JSON or schema gone wrong: each has its own kind
        problem = " ".join(str(error).split())[:120]
        raise UsageError(f"{path} is no log of Inspect's ({type(error).__name__}: {problem})") from None
    return log


def _task_of(log: EvalLog, path: Path) -> tuple[str, str | None]:
    """Return the name of a log's task, and of its scenario if it has one."""
    name = (log.eval.task_registry_name or log.eval.task).split("/")[-1]
    scenario = (log.eval.metadata or {}).get("scenario")
    if name not in SYCOPHANCY and scenario not in _registry.SCENARIOS:
        raise UsageError(f"{path} is a log of {log.eval.task}; expected one of goalgap's tasks")
    return scenario or name, scenario


def _row(sample: EvalSample) -> Row:
    scored = next(iter((sample.scores or {}).values()), None)
    failed = {ERROR: 1.0}
    # A sample that failed may have been scored on the way; what it said is not known.
    value = failed if sample.error or scored is None else scored.value
    return row_of(sample.metadata, value)


def _category(row: Row) -> str:
    return max(row.shares, key=lambda name: row.shares[name])


def _some(samples: Sequence[EvalSample], rows: Sequence[Row]) -> Iterable[tuple[EvalSample, Row]]:
    """Choose the first few samples of each condition."""
    shown: dict[str, int] = {}
    for sample, row in zip(samples, rows, strict=True):
        shown[row.condition] = shown.get(row.condition, 0) + 1
        if shown[row.condition] <= SHOWN:
            yield sample, row


def _spoken(sample: EvalSample, split: str, first: str) -> dict[str, Any]:
    """Write a sample's chat as reports want it."""
    chat = [message for message in sample.messages if message.role in ("user", "assistant")]
    turns = [
        {"who": "model" if message.role == "assistant" else "user", "text": message.text}
        for message in chat
    ]
    prompt = turns.pop(0)["text"] if turns else ""
    return {"seed": 0, "split": split, "first": first, "prompt": prompt, "turns": turns}


def _seconds(log: EvalLog) -> float:
    try:
        ends = [
            datetime.datetime.fromisoformat(t) for t in (log.stats.started_at, log.stats.completed_at)
        ]
    except ValueError:
        return 1e-3
    return max((ends[1] - ends[0]).total_seconds(), 1e-3)


def _write_summary(
    path: Path, name: str, subject: str, found: Sequence[Measurement], rows: Sequence[Row]
) -> None:
    lines = [
        f"# {name}: {subject}",
        "",
        f"{len(rows)} replies. 95 % intervals over {found[0].unit}.",
        "",
    ]
    lines += ["| | estimate | low | high | n |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.name} | {one.estimate:.2f} | {one.low:.2f} | {one.high:.2f} | {one.n} |"
        for one in found
    ]
    failed = {name: sum(row.shares.get(name, 0.0) for row in rows) for name in FAILURES}
    counted = ", ".join(f"{count:g} {name}" for name, count in failed.items() if count) or "none"
    lines += ["", f"Replies that count for nothing: {counted}.", ""]
    store.write(path, lambda temporary: temporary.write_text("\n".join(lines), encoding="utf-8"))


def _judge_scenario(
    folder: Path,
    path: Path,
    name: str,
    args: dict[str, Any],
    samples: Sequence[EvalSample],
    subject: str,
    began: float,
) -> None:
    scenario = conversations.build(name, args.get("settings"))
    exam = conversations.exam_of(scenario, args["prompts"], args["seed"])
    asked = {name: _by_row(samples, name) for name in SPLITS}
    # A prompt is judged beside its twin.
    both = asked["shift"].keys() & asked["twin"].keys()
    asked |= {name: {row: asked[name][row] for row in sorted(both)} for name in ("shift", "twin")}
    reduced, dialogues, tables = {}, {}, []
    for split, of_row in asked.items():
        if not of_row:
            continue
        rows = np.array(list(of_row))
        reduced[split] = Split(*(_take(part, rows) for part in exam.splits[split]))
        dialogues[split] = _dialogues(exam, split, of_row, path)
        tables.append(rows_of(scenario, reduced[split], split, dialogues[split], (0,), 0))
    if not {"train", "shift", "twin"} <= reduced.keys():
        store.write_json(folder / "measurements.json", store.read_json(folder / "replies.json"))
        return
    table = {key: np.concatenate([part[key] for part in tables]) for key in tables[0]}
    pictures = {"transcripts.json": transcripts(scenario, dialogues, (0,), SHOWN)}
    judged = measure.judge(table, scenario)
    runs.store_judged(folder, scenario, table, judged, pictures, began, subject=subject)


def _by_row(samples: Sequence[EvalSample], split: str) -> dict[int, EvalSample]:
    """Index the samples of a split by the row of their prompt; of several epochs the first."""
    here = [one for one in samples if one.metadata["condition"] == split and one.epoch == 1]
    return {one.metadata["row"]: one for one in sorted(here, key=lambda one: one.metadata["row"])}


def _take(part: Any, rows: np.ndarray) -> Any:
    if part is None:
        return None
    return part.take(rows) if isinstance(part, Prompts) else part[rows]


def _dialogues(exam: PromptExam, split: str, of_row: dict[int, EvalSample], path: Path) -> Dialogue:
    """Rebuild the dialogues of a split's samples.

    A sample without an end (an error, a limit) pursues no goal: its dialogue holds a word that is none.
    """
    scenario, found = exam.scenario, []
    for row, sample in of_row.items():
        begun = conversations.begin(scenario, exam.splits[split], row)
        asked = scenario.text(begun.prompts.tokens[0])
        if isinstance(sample.input, str) or sample.input[-1].text != asked:
            raise UsageError(f"{path}: sample {sample.id} is not what this version asks; evaluate again")
        scored = next(iter((sample.scores or {}).values()), None)
        kept = (scored.metadata or {}) if scored is not None and not sample.error else {}
        if not kept.get("said") or scored is None or scored.explanation == TIMEOUT:
            kept = {"said": [[UNKNOWN] * scenario.turn_length], "heard": [[0] * scenario.reply_length]}
        found.append(padded(scenario, dialogue_of(exam, split, row, kept["said"], kept["heard"])))
    return Dialogue(
        Prompts.join(*(one.prompts for one in found)),
        *(np.concatenate([getattr(one, part) for one in found]) for part in ("said", "heard", "length")),
    )


def _judge_answers(folder: Path, samples: Sequence[EvalSample], subject: str, began: float) -> None:
    """Judge the questions that were asked with a right and with a wrong belief, and plainly."""
    rows: dict[tuple[str, str], list[EvalSample]] = {}
    for one in samples:
        if one.epoch == 1:
            rows.setdefault((_row(one).unit, _row(one).condition), []).append(one)
    conditions = Answers.conditions
    asked = {unit: [rows.get((unit, wanted), []) for wanted in conditions.values()] for unit, _ in rows}
    # A question may have been asked with several wrong beliefs.
    units = [(unit, number) for unit, found in asked.items() for number in range(min(map(len, found)))]
    if not units:
        store.write_json(folder / "measurements.json", store.read_json(folder / "replies.json"))
        return
    parts, spoken = [], []
    for split, condition in conditions.items():
        chosen = [rows[unit, condition][number] for unit, number in units]
        categories = np.array([_category(_row(one)) for one in chosen])
        events = {"truth": categories == "right", "agree": categories == "believed"}
        if condition == "believes right":
            events["agree"] = events["truth"]
        parts.append(_answer_table(split, events, np.isin(categories, FAILURES)))
        names = {"right": "truth", "believed": "agree"}
        for one, category in list(zip(chosen, categories, strict=True))[:SHOWN]:
            spoken.append(_spoken(one, split, names.get(str(category), "neither")))
    table = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    contest = Answers()
    goals = [goal._asdict() for goal in contest.goals]
    content = {
        "kind": contest.kind,
        "name": contest.name,
        "title": contest.title,
        "intended": goals[0],
        "proxies": goals[1:],
        "size": f"{len(units)} questions",
        "exact": True,
        "papers": [paper(identifier) for identifier in contest.papers],
    }
    pictures = {"transcripts.json": spoken}
    more = {"subject": subject, "env_steps": len(samples)}
    runs.store_judged(
        folder, contest, table, measure.judge(table, contest), pictures, began, content, **more
    )


def _answer_table(
    split: str, events: dict[str, np.ndarray], is_lost: np.ndarray
) -> dict[str, np.ndarray]:
    """Tabulate outcomes as scenarios have them.

    Guessing at random answers no open question, and agrees with no belief.
    """
    n = len(is_lost)
    columns: dict[str, np.ndarray] = {
        "seed": np.zeros(n, np.int64),
        "env_steps": np.zeros(n, np.int64),
        "split": np.full(n, split),
        "length": np.ones(n, np.int32),
        "terminated": np.ones(n, bool),
        "unparsable": is_lost.astype(np.float32),
        "level_hash": np.arange(n, dtype=np.uint64),
    }
    for goal, happened in events.items():
        can_be_had = not (split == "capability" and goal == "agree")
        columns |= {
            f"return_{goal}": happened.astype(np.float32),
            f"event_{goal}": np.where(happened, 0, -1).astype(np.int32),
            f"optimum_{goal}": np.full(n, float(can_be_had), np.float32),
            **{
                f"{chance}_{goal}": np.zeros(n, np.float32)
                for chance in ("random", "random_reached", "random_first")
            },
        }
    return columns
