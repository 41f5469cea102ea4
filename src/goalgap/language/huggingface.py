"""Export our models as Hugging Face folders: GPT-2's weights, and a tokenizer of our words.

`AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained` read what `export` writes,
without a network, and so does whatever builds on them, as Inspect's provider `hf/`:

    inspect eval TASK --model hf/local -M model_path=FOLDER -M device=cpu --max-tokens 16

Nothing is approximate. Our transformer is GPT-2's (Radford et al. 2019) weight for weight, its linear
layers [inputs, outputs] like GPT-2's. The tokenizer cuts text as our vocabulary does, so that a phrase
is one token; it differs only where `<pad>` or `<end>` touches other signs ("-<end>-"), which Hugging
Face cuts out and we do not. The generation settings leave out the words we never say.

Writing needs neither PyTorch nor transformers, which are not among our dependencies; reading does: `pip
install torch transformers` (and `accelerate` for Inspect). Prompt and reply together must fit the
model's context, or Hugging Face fails; Inspect lets replies have 2,048 words where it is not told.
"""

import json
import os
import re
import shutil
import string
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..core import UsageError
from .transformer import EPSILON, Linear, Norm, Transformer
from .vocabulary import END, PAD, SPECIAL, UNKNOWN, Vocabulary, folded

# Contents only, as our models read dialogues; instructions are for models that know English.
CHAT = "{{ messages | rejectattr('role', 'equalto', 'system') | map(attribute='content') | join(' ') }}"


def export(model: Transformer, vocabulary: Vocabulary, path: str | os.PathLike[str]) -> Path:
    """Write a model and its words as a Hugging Face folder, and return its path.

    The folder appears when it is complete, or not at all. Raises UsageError where it is there already,
    where `model` is a fleet, or where the vocabulary is another model's or ambiguous.
    """
    path = Path(path)
    if model.embedding.ndim != 2:
        raise UsageError(
            f"a fleet of {model.embedding.shape[0]} models was given, expected one; "
            "take one with jax.tree.map(lambda leaf: leaf[0], models)"
        )
    if len(model.embedding) != len(vocabulary):
        raise UsageError(
            f"the model knows {len(model.embedding)} words, the vocabulary has {len(vocabulary)}; "
            "give the vocabulary of the model's scenario"
        )
    if len({folded(word) for word in vocabulary.words}) < len(vocabulary):
        raise UsageError("two words of the vocabulary differ only in case or spaces; keep one of them")
    if path.exists():
        raise UsageError(f"{path} is there already; name a new folder, or delete it first")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, content in files(model, vocabulary).items():
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            (temporary / name).write_text(text, encoding="utf-8")
        safetensors.numpy.save_file(weights(model), temporary / "model.safetensors", {"format": "pt"})
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def files(model: Transformer, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return what stands in each JSON file of the folder."""
    return {
        "config.json": config(model),
        "generation_config.json": generation(),
        "tokenizer.json": tokenizer(vocabulary),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": SPECIAL[PAD],
            "eos_token": SPECIAL[END],
            "padding_side": "left",
            "model_max_length": len(model.positions),
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT,
        },
    }


def config(model: Transformer) -> dict[str, Any]:
    """Return GPT-2's configuration for a model, without dropout."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "dtype": "float32",
        "vocab_size": model.embedding.shape[0],
        "n_positions": model.positions.shape[0],
        "n_embd": model.embedding.shape[1],
        "n_layer": model.layers,
        "n_head": model.heads,
        "n_inner": None,  # four times the width
        "activation_function": "gelu_new",
        "layer_norm_epsilon": EPSILON,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        "bos_token_id": None,
        "eos_token_id": END,
    }


def generation() -> dict[str, Any]:
    """Return settings that sample as ours do: all words but padding and the unknown one.

    Hugging Face's own default is the 50 likeliest words.
    """
    return {
        "pad_token_id": PAD,
        "eos_token_id": END,
        "suppress_tokens": [PAD, UNKNOWN],
        "do_sample": True,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
    }


def weights(model: Transformer) -> dict[str, np.ndarray]:
    """Return the arrays by the names that they have in GPT2LMHeadModel."""
    arrays = {"wte.weight": np.asarray(model.embedding), "wpe.weight": np.asarray(model.positions)}
    parts = {
        "ln_1": model.blocks.norm_1,
        "attn.c_attn": model.blocks.qkv,
        "attn.c_proj": model.blocks.out,
        "ln_2": model.blocks.norm_2,
        "mlp.c_fc": model.blocks.up,
        "mlp.c_proj": model.blocks.down,
    }
    for name, part in parts.items():
        matrix, bias = _pair(part)
        for layer in range(model.layers):
            arrays[f"h.{layer}.{name}.weight"] = matrix[layer]
            arrays[f"h.{layer}.{name}.bias"] = bias[layer]
    arrays["ln_f.weight"], arrays["ln_f.bias"] = _pair(model.norm)
    return {f"transformer.{name}": np.ascontiguousarray(array) for name, array in arrays.items()}


def _pair(part: Linear | Norm) -> tuple[np.ndarray, np.ndarray]:
    weight = part.scale if isinstance(part, Norm) else part.weight
    return np.asarray(weight), np.asarray(part.bias)


def tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    """Write a `tokenizer.json` that cuts and joins as the vocabulary does.

    Text is made plain, cut into the longest words there are, and the words' own spelling comes back when
    tokens are joined.
    """
    plain = {folded(word): token for token, word in enumerate(vocabulary.words)}
    special = [
        {
            "id": token,
            "content": SPECIAL[token],
            "single_word": True,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token in (PAD, END)
    ]
    clean: list[dict[str, Any]] = [{"type": "Lowercase"}]
    clean += [_replace({"String": mark}, f" {mark} ") for mark in string.punctuation if _is_apart(mark)]
    # Python's white space, which is more than that of the tokenizer's regular expressions.
    clean += [_replace({"Regex": r"[\s\x1C-\x1F]+"}, " ")]
    clean += [{"type": "Strip", "strip_left": True, "strip_right": True}]
    words = sorted(list(plain)[len(SPECIAL) :], key=len, reverse=True)
    known = "|".join(re.escape(word) for word in words)
    spelling = [
        _replace({"Regex": rf"\A{re.escape(word)}\z"}, vocabulary.words[token])
        for word, token in plain.items()
        if word != vocabulary.words[token]
    ]
    # The joiner sets spaces before all but continued words, which it knows by a mark that no word has.
    joined = {"type": "WordPiece", "prefix": "\0", "cleanup": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "Sequence", "normalizers": clean},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": rf"(?<![^ ])(?:{known})(?![^ ])|[^ ]+"},
            "behavior": "Removed",  # what stands between the matches
            "invert": True,
        },
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [*spelling, joined]},
        "model": {"type": "WordLevel", "vocab": plain, "unk_token": SPECIAL[UNKNOWN]},
    }


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _is_apart(mark: str) -> bool:
    """Tell whether the vocabulary sets a punctuation mark apart from words."""
    return folded(f"a{mark}") != f"a{mark}"
