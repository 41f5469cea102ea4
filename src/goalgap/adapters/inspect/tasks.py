"""Define Inspect's tasks: SycophancyEval's four, and one for each scenario.

Sources: Sharma et al. 2023, arXiv 2310.13548, section 3 (the four tests, their templates and metrics);
each scenario names its own. Departures: are-you-sure asks for a final answer, so that what flips is an
answer and not a tone, and reports how often a wrong one is put right; feedback is compared in both
orders, and orders that disagree are a tie; whether a mistake is admitted is not judged.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from ...core import UsageError
from ...language import ALL
from ...language.exam import PromptExam
from . import conversations
from .items import Item, items, with_baselines
from .refusal import refusing
from .scorers import compared, matched, mimicked, pursued, stood

JUDGES = ("match", "grader")


def _said_by_user(text: str, lines: dict[str, str]) -> ChatMessageUser:
    """Make a user message with what scripted models reply put beside it; other models never see that."""
    return ChatMessageUser(content=text, metadata={"script": lines})


@solver
def converse() -> Solver:
    """Say the user's turns, one after the other, as long as there are replies."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        turns, lines = state.metadata["turns"], state.metadata["lines"]
        state = await generate(state)
        for turn, line in zip(turns[1:], lines[1:], strict=True):
            if not state.output.completion.strip():
                break
            state.messages.append(_said_by_user(turn, line))
            state = await generate(state)
        return state

    return solve


@solver
def compare() -> Solver:
    """Hold two chats that know nothing of each other: first without a preference, then with one.

    The reply to the first is kept aside.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        first, lines = state.metadata["turns"][0], state.metadata["lines"][0]
        baseline = await get_model().generate([_said_by_user(first, lines)])
        state.store.set("baseline", baseline.completion)
        state.store.set("baseline_stop", baseline.stop_reason)
        return await generate(state)

    return solve


@solver
def talk(name: str, settings: Any, prompts: int, seed: int) -> Solver:
    """Hold a scenario's dialogue: the model's replies are turns, the user answers by messages."""
    exam = conversations.exam_of(conversations.build(name, settings), prompts, seed)
    scenario = exam.scenario

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        split, row = state.metadata["condition"], state.metadata["row"]
        rng = np.random.default_rng((seed, row))
        dialogue = conversations.begin(scenario, exam.splits[split], row)
        while True:
            state.messages[-1].metadata = {"script": conversations.lines_of(scenario, dialogue, rng)}
            state = await generate(state)
            turn = conversations.heard_as(scenario, state.output.completion)
            dialogue, answer = conversations.advance(scenario, dialogue, turn)
            state.store.set("said", dialogue.said[0].tolist())
            state.store.set("heard", dialogue.heard[0].tolist())
            if answer is None:
                state.store.set("over", True)
                return state
            state.messages.append(ChatMessageUser(content=answer))

    return solve


def _samples(found: list[Item]) -> list[Sample]:
    """Make samples of items; the input is an item's first turn, of feedback's two prompts the second."""
    samples = []
    for number, item in enumerate(found, 1):
        last = len(item.turns) - 1 if item.passage else 0
        samples.append(
            Sample(
                input=[_said_by_user(item.turns[last], item.lines[last])],
                target=list(item.right) or "",
                id=f"{number}" + f" {item.condition}" * bool(item.condition),
                metadata=item._asdict(),
            )
        )
    return samples


def _checked(found: list[Item], judge: str) -> list[Item]:
    if judge not in JUDGES:
        raise UsageError(f"judge is {judge!r}; expected {' or '.join(JUDGES)}")
    open_ones = sum(item.needs_grader for item in found)
    if open_ones and judge == "match":
        raise UsageError(
            f"{open_ones} right answers are sentences (truthful_qa), which no string matching judges; "
            "give -T judge=grader --model-role grader=MODEL, or -T only=DATASET"
        )
    return found


def _only(found: list[Item], wanted: str | None) -> list[Item]:
    kept = [item for item in found if wanted is None or item.dataset == wanted]
    if not kept:
        known = ", ".join(sorted({item.dataset for item in found}))
        raise UsageError(f"no item of the data set {wanted!r}; known: {known}")
    return kept


@task
@refusing
def answer(data: str = "own", judge: str = "match", only: str | None = None) -> Task:
    """Test whether a user's belief changes the answer.

    data: "own", "small" (for goalgap's small models), or the path of SycophancyEval's answer.jsonl.
    judge: "match" compares strings; "grader" asks the model of that role. only: one of the file's data
    sets, as trivia_qa.
    """
    found = _checked(_only(items("answer", data), only), judge)
    return Task(dataset=_samples(found), solver=converse(), scorer=matched(judge))


@task
@refusing
def are_you_sure(data: str = "own", judge: str = "match", only: str | None = None) -> Task:
    """Test whether a challenge turns right answers into wrong ones; arguments as for `answer`."""
    found = _checked(_only(items("are_you_sure", data), only), judge)
    return Task(dataset=_samples(found), solver=converse(), scorer=stood(judge))


@task
@refusing
def feedback(data: str = "own", only: str | None = None) -> Task:
    """Test whether feedback is kinder to what the user likes or wrote.

    Needs `--model-role grader=MODEL`, which compares it with the feedback to a user who has said
    nothing.
    """
    get_model(role="grader", required=True)  # complains at once, not after the first feedback
    found = with_baselines(_only(items("feedback", data), only))
    return Task(dataset=_samples(found), solver=compare(), scorer=compared())


@task
@refusing
def mimicry(data: str = "own") -> Task:
    """Test whether a poem's wrong attribution is repeated; strings are compared."""
    return Task(dataset=_samples(items("mimicry", data)), solver=converse(), scorer=mimicked())


@task(name="scenario")
@refusing
def scenario(
    name: str, split: str = "shift", prompts: int = 128, seed: int = 0, settings: Any = None
) -> Task:
    """Ask one of goalgap's scenarios as a chat: which goal do the replies serve?

    split: "train" (where the goals agree), "shift" (where they part), "twin", "capability", or "all",
    which the verdict needs. prompts: how many different ones of each. settings: the scenario's, as JSON.
    """
    exam = conversations.exam_of(conversations.build(name, settings), prompts, seed)
    return Task(
        dataset=_chats(exam, split),
        solver=talk(name, settings, prompts, seed),
        scorer=pursued(name, settings, prompts, seed),
        metadata={"scenario": name},
    )


def _chats(exam: PromptExam, split: str) -> list[Sample]:
    scenario, samples = exam.scenario, []
    for name, row in conversations.samples_of(exam, split):
        text = scenario.text(exam.splits[name].levels.tokens[row])
        samples.append(
            Sample(
                input=[ChatMessageSystem(content=scenario.instructions), ChatMessageUser(content=text)],
                target=scenario.intended.name,
                id=f"{name}-{row}",
                metadata={"unit": str(row), "condition": name, "row": row},
            )
        )
    return samples


def _named(kind: type) -> Callable[..., Task]:
    """Make the task of one scenario, under its name."""

    @task(name=kind.name)
    @refusing
    def one(split: str = "shift", prompts: int = 128, seed: int = 0, settings: Any = None) -> Task:
        return scenario(kind.name, split, prompts, seed, settings)

    return one


SCENARIOS = {kind.name: _named(kind) for kind in ALL}
