"""A small language model of ours beside Hugging Face's GPT-2 with the same weights, in one process.

Sampling: prompts of 8 words, 16 new ones, none of them an end for Hugging Face (which would stop early
when all are through; we never do), everything in memory. Ours is what a measurement of a fleet of one
calls; theirs is `generate` of the folder that `huggingface.export` writes, with the fewest options: no
word is left out, where ours never says padding.

Training: next-word cross-entropy of 64 dialogues of 32 words, gradients clipped, AdamW; ours in chunks
of 16 steps, each one program, as stages train: one model, and a fleet of four, whose steps are added
up. Theirs is a plain loop (forward, backward, `clip_grad_norm_`, `torch.optim.AdamW(fused=True)`), one
model after the other. Both begin with the same weights and see the same words, and their losses are
compared before anything is timed.

PyTorch takes the better of 1 thread and all cores, for each line by itself; JAX always has all. Times
are medians of three, taken in turn. Where PyTorch or transformers are not installed, ours stand alone.
"""

import contextlib
import os
import statistics
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _timing import row

from goalgap.language import huggingface
from goalgap.language.dialogues import Fleet
from goalgap.language.scenario import Dialogue, Prompts
from goalgap.language.sft import cross_entropy
from goalgap.language.stage import Adam, descend
from goalgap.language.transformer import Architecture, Transformer, new
from goalgap.language.vocabulary import SPECIAL, Vocabulary

VOCABULARY = Vocabulary.of(f"word{number}" for number in range(100))
PROMPT, NEW_WORDS, BATCHES = 8, 16, (1, 64, 1024)
DIALOGUES, WORDS, STEPS = 64, 32, 16  # of training
FLEETS = (1, 4)
ADAM = Adam(STEPS, learning_rate=2e-3, weight_decay=0.01, warmup=0.0, final=1.0)
REPEATS, SPAN = 3, 0.3  # seconds that a timing takes at least


def words(*shape: int) -> np.ndarray:
    """Draw words at random, equal ones each time."""
    rng = np.random.default_rng(0)
    return rng.integers(len(SPECIAL), len(VOCABULARY), shape).astype(np.int32)


def fleet_of_one(model: Transformer) -> Transformer:
    """Add an axis of seeds before every array of a model."""
    return jax.tree.map(lambda leaf: leaf[None], model)


# -- ours -------------------------------------------------------------------------------------------


def our_sampling(model: Transformer, batch: int, temperature: float) -> Callable[[], Any]:
    """Make a call that samples a batch of replies by our model."""
    sizes: Any = types.SimpleNamespace(turn_length=NEW_WORDS, context=PROMPT + NEW_WORDS)
    speaker = Fleet(sizes, fleet_of_one(model), temperature)
    said, heard = np.zeros((batch, 0, NEW_WORDS), np.int32), np.zeros((batch, 0, 0), np.int32)
    prompts = Prompts(words(batch, PROMPT), {})
    dialogue = Dialogue(prompts, said, heard, np.zeros(batch, np.int32))
    rng = np.random.default_rng(0)
    return lambda: speaker.say(dialogue, rng)


def our_training(model: Transformer, seeds: int) -> Callable[[], Any]:
    """Make a call that trains a fleet of equal models for a chunk of steps and gives the mean loss."""
    models = jax.tree.map(lambda leaf: jnp.stack([leaf] * seeds), model)
    optimizer = jax.vmap(ADAM.transform().init)(models)
    tokens = jnp.asarray(np.stack([words(STEPS, DIALOGUES, WORDS)] * seeds))
    batches = tokens, jnp.ones(tokens.shape)

    def once() -> float:
        nonlocal models, optimizer
        models, optimizer, stats = descend(ADAM, cross_entropy, models, optimizer, batches)
        return float(stats["loss"][0])

    return once


# -- theirs -----------------------------------------------------------------------------------------


def load(model: Transformer) -> Any:
    """Load a model of ours by Hugging Face's transformers; None where that is not installed."""
    try:
        import torch  # type: ignore[import-not-found]  # noqa: F401
        from transformers import AutoModelForCausalLM  # type: ignore[import-not-found]
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = huggingface.export(model, VOCABULARY, Path(folder) / "model")
        return AutoModelForCausalLM.from_pretrained(path, local_files_only=True)


def their_sampling(model: Any, batch: int, temperature: float) -> Callable[[], Any]:
    """Make a call that samples a batch of replies by Hugging Face's model."""
    import torch  # type: ignore[import-not-found]
    from transformers import GenerationConfig  # type: ignore[import-not-found]

    tokens = torch.tensor(words(batch, PROMPT)).long()
    options = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {}
    settings = GenerationConfig(max_new_tokens=NEW_WORDS, pad_token_id=0, **options)
    model.eval().generation_config = settings
    mask = torch.ones_like(tokens)

    def once() -> Any:
        model.generation_config = settings
        with torch.inference_mode():
            return model.generate(tokens, attention_mask=mask)

    assert once().shape == (batch, PROMPT + NEW_WORDS)
    return once


def their_training(model: Any) -> Callable[[], Any]:
    """Make a call that trains Hugging Face's model for a chunk of steps and gives the mean loss."""
    import torch  # type: ignore[import-not-found]

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 0.0, weight_decay=ADAM.weight_decay, fused=True)
    batches = torch.tensor(words(STEPS, DIALOGUES, WORDS)).long()

    def once() -> float:
        losses = []
        for tokens in batches:
            optimizer.zero_grad()
            loss = model(tokens, labels=tokens).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.param_groups[0]["lr"] = ADAM.learning_rate  # ours has none in its first step
            losses.append(loss.item())
        return statistics.fmean(losses)

    return once


@contextlib.contextmanager
def threads(number: int) -> Any:
    """Let PyTorch have so many threads meanwhile."""
    import torch  # type: ignore[import-not-found]

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# -- side by side -----------------------------------------------------------------------------------


def medians(*functions: Callable[[], Any]) -> list[float]:
    """Measure the median time of a call of each function, in seconds; all are called in turn."""
    calls = []
    for function in functions:
        function()
        began = time.perf_counter()
        function()
        calls.append(max(1, round(SPAN / (time.perf_counter() - began))))
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(REPEATS):
        for function, number, found in zip(functions, calls, times, strict=True):
            began = time.perf_counter()
            for _ in range(number):
                function()
            found.append((time.perf_counter() - began) / number)
    return [statistics.median(found) for found in times]


def beside(
    what: str, work: float, unit: str, ours: Callable[[], Any], theirs: Callable[[], Any] | None
) -> dict[str, Any]:
    """Make a row of the table; `work` is how many units a call does."""
    load_average = f"load {os.getloadavg()[0]:.1f}"
    if theirs is None:
        (mine,) = medians(ours)
        return row(what, work / mine, None, unit, "PyTorch or transformers are not installed")

    def on(number: int) -> Callable[[], Any]:
        def once() -> Any:
            with threads(number):
                return theirs()

        return once

    numbers = sorted({1, len(os.sched_getaffinity(0))})
    mine, *found = medians(ours, *map(on, numbers))
    best = min(found)
    note = f"PyTorch's best number of threads: {numbers[found.index(best)]}; {load_average}"
    return row(what, work / mine, work / best, unit, note)


def bench() -> list[dict[str, Any]]:
    """Measure sampling and training beside Hugging Face's; return the rows of the table."""
    model = new(Architecture(), len(VOCABULARY), WORDS, seed=0)
    other = load(model)
    rows = []
    for batch in BATCHES:
        for kind, temperature in (("greedy", 0.0), ("temperature 1", 1.0)):
            what = f"language, {model.num_parameters / 1e3:.0f} k parameters: {kind}, batch {batch}"
            theirs = their_sampling(other, batch, temperature) if other else None
            ours = our_sampling(model, batch, temperature)
            rows.append(beside(what, batch * NEW_WORDS, "tokens/s", ours, theirs))
    theirs = their_training(other) if other else None
    if theirs:
        ours = our_training(model, 1)
        for _ in range(2):
            mine, others = ours(), theirs()
            assert abs(mine - others) < 1e-3, f"losses part: {mine}, {others}"
    for seeds in FLEETS:
        what = f"language: train {seeds} at once, batch {DIALOGUES} x {WORDS}"
        ours = our_training(model, seeds)
        line = beside(what, STEPS, "steps/s", ours, theirs)
        rows.append(
            line | {"ours": line["ours"] * seeds, "ratio": line["ratio"] and line["ratio"] * seeds}
        )
    return rows


if __name__ == "__main__":
    for line in bench():
        theirs = (
            "" if line["ratio"] is None else f" beside {line['reference']:9,.0f}: {line['ratio']:5.1f}x"
        )
        print(f"{line['what']:60s} {line['ours']:9,.0f} {line['unit']}{theirs}  {line['note']}")
