"""Provide Inspect with the models `goalgap/...`: our small models, and scripted ones with known answers.

`goalgap/RUN-FOLDER` is a model of a finished run (`-M seed=0`), without network, tokenizer files or
PyTorch. It reads a chat as the scenario's dialogue: system messages are dropped (ours were trained
without), a word that is not of its language is the unknown one, and a chat that does not fit the
scenario's slots gets an empty reply, with stop reason `model_length`. A scenario of one turn has no
memory: its model reads the last user message.

`goalgap/always-caves`, `goalgap/never-caves`, `goalgap/random` and `goalgap/script:GOAL` say the lines
that our tasks put beside each user message (in its metadata, which no provider sends to a model);
`goalgap/judge` grades feedback by counting words of praise; `goalgap/refuses`, `goalgap/silent` and
`goalgap/babbles` are what a task must not count for or against anything.
"""

import functools
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from inspect_ai.model import (
    ChatMessage,
    ChatMessageUser,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from jaxtyping import Int

from ...core import UsageError
from ...language.dialogues import pick
from ...language.scenario import PAD, Scenario, pad_left
from ...language.transformer import Transformer
from ...language.vocabulary import END
from ...runs import load_models
from ...store import RunFolder
from .items import CAVES, HOLDS
from .refusal import refusing

RANDOM, JUDGE = "random", "judge"
FIXED = {
    "refuses": "I'm sorry, but I can't help with that.",
    "silent": "",
    "babbles": "Blue wug seventeen the of the of wug!",
}
LINES, PREFIX = (CAVES, HOLDS, RANDOM, JUDGE), "script:"


@refusing
def provide(
    model_name: str,
    base_url: str | None = None,
    api_key: str | None = None,
    config: GenerateConfig | None = None,
    **model_args: Any,
) -> ModelAPI:
    """Return the model of a name. Raises what Inspect shows in one line for names that are none."""
    known = {"seed"}
    if unknown := set(model_args) - known:
        raise UsageError(f"goalgap models know no {', '.join(sorted(unknown))}; expected -M seed=0")
    if model_name in (*LINES, *FIXED) or model_name.startswith(PREFIX):
        return Scripted(model_name, config or GenerateConfig())
    return Small(model_name, config or GenerateConfig(), model_args.get("seed"))


class Scripted(ModelAPI):
    """Say the line of a known subject that the task put beside the last user message."""

    def __init__(self, model_name: str, config: GenerateConfig) -> None:
        super().__init__(model_name, config=config)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        return _said(self.model_name, _texts(input), self._line(input), "stop")

    def _line(self, input: list[ChatMessage]) -> str:
        if self.model_name in FIXED:
            return FIXED[self.model_name]
        asked = [message for message in input if isinstance(message, ChatMessageUser)]
        lines = ((asked[-1].metadata if asked else None) or {}).get("script", {})
        name = self.model_name.removeprefix(PREFIX)
        if name not in lines:
            known = ", ".join(lines) or "none here; it speaks in goalgap's tasks"
            raise UsageError(f"{name!r} has no line in this task; known: {known}")
        return lines[name]


def _of_models(folder: RunFolder) -> RunFolder:
    """Pass on a finished run of language models. Raises UsageError for others."""
    if folder.finished().experiment.contest.kind != "language":
        raise UsageError(f"{folder.path} is a run of agents; expected one of language models")
    return folder


class Small(ModelAPI):
    """Reply as a model of a run.

    Replies are drawn with `temperature` (1 if not said) and depend on nothing but the chat, the
    configuration's `seed` and how often the model was asked before.
    """

    def __init__(self, model_name: str, config: GenerateConfig, seed: int | None) -> None:
        super().__init__(model_name, config=config)
        folder = _of_models(RunFolder.load(Path(model_name).expanduser()))
        seeds = folder.experiment.seeds
        seed = seeds[0] if seed is None else seed
        if seed not in seeds:
            raise UsageError(f"seed is {seed!r}; {model_name} has {', '.join(map(str, seeds))}")
        self.scenario = folder.experiment.contest
        # With NumPy: a JAX operation would be compiled for every shape.
        models, index = load_models(folder), seeds.index(seed)
        self.model = jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[index]), models)
        self.asked: Counter[bytes] = Counter()

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        chat = _texts(input)
        tokens = read_chat(self.scenario, chat)
        if tokens is None:
            return _said(self.model_name, chat, "", "model_length")
        temperature = 1.0 if config.temperature is None else config.temperature
        said = self._turn(tokens, temperature, config.seed or 0)
        return _said(self.model_name, chat, self.scenario.text(said), "stop")

    def _turn(
        self, tokens: Int[np.ndarray, " t"], temperature: float, seed: int
    ) -> Int[np.ndarray, " length"]:
        digest = hashlib.blake2b(tokens.tobytes(), digest_size=8).digest()
        rng = np.random.default_rng((seed, int.from_bytes(digest), self.asked[digest]))
        self.asked[digest] += 1
        length, slots = self.scenario.turn_length, np.zeros(self.scenario.context, np.int32)
        slots[: len(tokens)] = tokens
        for place in range(len(tokens), len(tokens) + length):
            word = int(_next(self.model, slots, place - 1, rng.random(dtype=np.float32), temperature))
            slots[place] = word
            if word == END:
                break
        return slots[len(tokens) : len(tokens) + length]


@functools.partial(jax.jit)
def _next(
    model: Transformer,
    slots: Int[jax.Array, " t"],
    last: int | Int[jax.Array, ""],
    chance: Any,
    temperature: Any,
) -> Int[jax.Array, ""]:
    """Draw the word after the last; what stands behind it is padding, which the model does not see."""
    logits, _ = model(slots[None])
    return pick(logits[:, last], jnp.reshape(chance, 1), temperature)[0]


def read_chat(scenario: Scenario, chat: list[tuple[str, str]]) -> Int[np.ndarray, " t"] | None:
    """Put a chat, of (role, text), into a dialogue's slots, up to where the model speaks.

    None where it does not fit the scenario.
    """
    spoken = [(role, text) for role, text in chat if role in ("user", "assistant")]
    if scenario.num_turns == 1:
        spoken = spoken[-1:]
    roles = [role for role, _ in spoken]
    if not spoken or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        return None
    if len(spoken) // 2 >= scenario.num_turns:
        return None
    encode = scenario.vocabulary.encode
    parts = []
    for place, (role, text) in enumerate(spoken):
        tokens = encode(text)
        if role == "assistant":
            tokens = tokens + [END] * (len(tokens) < scenario.turn_length)
            slot = tokens + [PAD] * (scenario.turn_length - len(tokens))
            room = scenario.turn_length
        else:
            room = scenario.reply_length if place else scenario.prompt_length
            slot = tokens if len(tokens) > room else pad_left(tokens, room).tolist()
        if len(slot) > room:
            return None
        parts += slot
    return np.array(parts, np.int32)


def _texts(input: list[ChatMessage]) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in input]


def _said(model: str, chat: list[tuple[str, str]], text: str, stop: Any) -> ModelOutput:
    """Make a reply with its usage, so that Inspect need not fetch a tokenizer to count words."""
    output = ModelOutput.from_content(f"goalgap/{model}", text, stop_reason=stop)
    heard, said = sum(len(part.split()) for _, part in chat), len(text.split())
    output.usage = ModelUsage(input_tokens=heard, output_tokens=said, total_tokens=heard + said)
    return output
