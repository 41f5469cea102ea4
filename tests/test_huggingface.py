"""Our models as Hugging Face folders, read by Hugging Face where it is installed."""

import json
import re
from unittest import mock

import jax
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from goalgap.core import UsageError
from goalgap.language import huggingface
from goalgap.language.dialogues import Fleet
from goalgap.language.scenario import Dialogue, Prompts, Scenario
from goalgap.language.transformer import Architecture, Transformer, new
from goalgap.language.vocabulary import END, PAD, UNKNOWN, Vocabulary

WORDS = ["red", "ball", "red ball", "the red ball (big)", "Bob", "I am", "Yes, it is", "?", "a|b", "$ 5"]
VOCABULARY = Vocabulary.of([*WORDS, "é's", *(f"w{n}" for n in range(40))])
NEW_WORDS, CONTEXT = 8, 24
TEXTS = [
    "Red ball ball red",
    "the red  ball (big) a|b é's $ 5 $ 5x \t BOB\x1cball red\u00a0ball\u2003w2\x85",
    "yes, it is? yes,it is?? I am.",
    "w1.<end>.w2 <pad> <END> <unknown>",
    "",
    " what ",
]


def model() -> Transformer:
    """Far from fresh: every array matters, logits lie apart, and some dialogues end early."""
    fresh = new(Architecture(layers=2, width=16, heads=2), len(VOCABULARY), CONTEXT, seed=1)
    rng = np.random.default_rng(2)
    leaves, shape = jax.tree.flatten(fresh)
    # In NumPy: JAX would compile a program for each operation and shape.
    noisy = [
        (np.asarray(leaf) + 0.2 * rng.normal(size=leaf.shape).astype(np.float32))
        * (3 if leaf is fresh.embedding else 1)
        for leaf in leaves
    ]
    return jax.tree.unflatten(shape, [jax.device_put(leaf) for leaf in noisy])


def prompts(n: int = 24) -> np.ndarray:
    """Of all lengths, padded on the left."""
    rng = np.random.default_rng(3)
    tokens = rng.integers(UNKNOWN + 1, len(VOCABULARY), (n, 9)).astype(np.int32)
    for row, padding in enumerate(rng.integers(0, 9, n)):
        tokens[row, :padding] = PAD
    return tokens


def reply(temperature: float, tokens: np.ndarray) -> np.ndarray:
    """What our own sampling says."""
    scenario = mock.Mock(spec=Scenario, turn_length=NEW_WORDS, context=CONTEXT)
    n = len(tokens)
    nothing = np.zeros((n, 0, NEW_WORDS), np.int32), np.zeros((n, 0, 0), np.int32)
    dialogue = Dialogue(Prompts(tokens, {}), *nothing, np.zeros(n, np.int32))
    fleet = jax.tree.map(lambda leaf: np.asarray(leaf)[None], model())
    speaker = Fleet(scenario, fleet, temperature)
    return speaker.say(dialogue, np.random.default_rng(0))


def cut(text: str) -> list[int]:
    """A reader of `tokenizer.json`, but for the special tokens in the raw text, in plain Python."""
    content = huggingface.tokenizer(VOCABULARY)
    for step in content["normalizer"]["normalizers"]:
        if step["type"] == "Lowercase":
            text = text.lower()
        elif step["type"] == "Replace" and "String" in step["pattern"]:
            text = text.replace(step["pattern"]["String"], step["content"])
        elif step["type"] == "Replace":
            text = re.sub(step["pattern"]["Regex"], step["content"], text)
        else:
            assert step["type"] == "Strip"
            text = text.strip(" ")
    split, vocabulary = content["pre_tokenizer"], content["model"]["vocab"]
    assert split["behavior"] == "Removed" and split["invert"]
    unknown = vocabulary[content["model"]["unk_token"]]
    return [vocabulary.get(piece, unknown) for piece in re.findall(split["pattern"]["Regex"], text)]


def known_texts() -> st.SearchStrategy[str]:
    """Words of ours among others, with all kinds of gaps."""
    pieces = st.sampled_from([*VOCABULARY.words, "RED", "balls", "-", ",", "\x1f", "  ", "\n"])
    return st.lists(pieces, max_size=8).map(lambda chosen: " ".join(chosen))


@given(st.one_of(known_texts(), st.text(max_size=30)))
@settings(max_examples=200, deadline=None)
def test_the_tokenizer_cuts_as_the_vocabulary(text):
    assert cut(text) == VOCABULARY.encode(text)


def test_the_folder_holds_gpt2s_arrays_and_settings(tmp_path):
    ours = model()
    folder = huggingface.export(ours, VOCABULARY, tmp_path / "below" / "model")
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # nothing temporary is left
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["activation_function"]) == ("gpt2", "gelu_new")
    sizes = [config[name] for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")]
    assert sizes == [len(VOCABULARY), CONTEXT, 16, 2, 2]
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    shapes = {name: array.shape for name, array in arrays.items() if "h.0" not in name}
    assert shapes == {
        "transformer.wte.weight": (len(VOCABULARY), 16),
        "transformer.wpe.weight": (CONTEXT, 16),
        "transformer.h.1.ln_1.weight": (16,),
        "transformer.h.1.ln_1.bias": (16,),
        "transformer.h.1.attn.c_attn.weight": (16, 48),
        "transformer.h.1.attn.c_attn.bias": (48,),
        "transformer.h.1.attn.c_proj.weight": (16, 16),
        "transformer.h.1.attn.c_proj.bias": (16,),
        "transformer.h.1.ln_2.weight": (16,),
        "transformer.h.1.ln_2.bias": (16,),
        "transformer.h.1.mlp.c_fc.weight": (16, 64),
        "transformer.h.1.mlp.c_fc.bias": (64,),
        "transformer.h.1.mlp.c_proj.weight": (64, 16),
        "transformer.h.1.mlp.c_proj.bias": (16,),
        "transformer.ln_f.weight": (16,),
        "transformer.ln_f.bias": (16,),
    }
    assert sum(array.size for array in arrays.values()) == ours.num_parameters
    np.testing.assert_array_equal(arrays["transformer.h.1.mlp.c_fc.weight"], ours.blocks.up.weight[1])


def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path):
    ours = model()
    fleet = jax.tree.map(lambda leaf: np.asarray(leaf)[None], ours)
    small, ambiguous = Vocabulary.of(["red"]), Vocabulary((*VOCABULARY.words[:-1], "RED"))
    there = tmp_path / "there"
    there.mkdir()
    for given_model, vocabulary, path, message in [
        (fleet, VOCABULARY, tmp_path / "new", "a fleet of 1 models"),
        (ours, small, tmp_path / "new", "the vocabulary has 4"),
        (ours, ambiguous, tmp_path / "new", "differ only in case"),
        (ours, VOCABULARY, there, "is there already"),
    ]:
        with pytest.raises(UsageError, match=message) as caught:
            huggingface.export(given_model, vocabulary, path)
        assert "\n" not in str(caught.value)
    assert not list(there.iterdir()) and [path.name for path in tmp_path.iterdir()] == ["there"]


# -- read by Hugging Face ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Model and tokenizer as transformers reads them, and PyTorch."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = huggingface.export(model(), VOCABULARY, tmp_path_factory.mktemp("hugging") / "model")
    there = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return torch, there.eval(), tokenizer


def test_logits_are_equal_where_there_are_words(loaded):
    torch, there, _ = loaded
    tokens = prompts()
    mask = torch.tensor(tokens != PAD).long()
    positions = (mask.cumsum(1) - 1).clamp(0)
    with torch.no_grad():
        inputs = torch.tensor(tokens).long()
        theirs = there(inputs, attention_mask=mask, position_ids=positions).logits.numpy()
    ours = np.asarray(jax.jit(lambda model, tokens: model(tokens)[0])(model(), tokens))
    assert ours[tokens != PAD].std() > 1
    np.testing.assert_allclose(ours[tokens != PAD], theirs[tokens != PAD], atol=1e-4)


def test_greedy_replies_are_equal_word_for_word(loaded):
    torch, there, _ = loaded
    tokens = prompts()
    theirs = there.generate(
        torch.tensor(tokens).long(),
        attention_mask=torch.tensor(tokens != PAD).long(),
        do_sample=False,
        max_new_tokens=NEW_WORDS,
    )[:, tokens.shape[1] :].numpy()
    ours = reply(0.0, tokens)
    ended = (ours == END).any(1)
    assert 0 < ended.sum() < len(tokens) and len(np.unique(ours)) > 5
    np.testing.assert_array_equal(ours, theirs)


def test_sampled_replies_have_the_same_distribution(loaded):
    torch, there, _ = loaded
    tokens = np.repeat(prompts(1), 4000, 0)
    torch.manual_seed(0)
    theirs = there.generate(torch.tensor(tokens).long(), max_new_tokens=2)[:, tokens.shape[1] :].numpy()
    for word in range(2):
        ours = np.bincount(reply(1.0, tokens)[:, word], minlength=len(VOCABULARY)) / 4000
        expected = np.bincount(theirs[:, word], minlength=len(VOCABULARY)) / 4000
        # Two samples of 4,000: differences have a deviation of at most (2 p / 4,000) ** .5
        assert (np.abs(ours - expected) < 4.5 * ((ours + expected) / 4000 + 1e-6) ** 0.5).all()


@pytest.mark.parametrize("text", TEXTS)
def test_text_goes_through_the_tokenizer_as_through_the_vocabulary(loaded, text):
    _, _, tokenizer = loaded
    tokens = tokenizer(text)["input_ids"]
    assert tokens == VOCABULARY.encode(text)
    assert tokenizer.decode(tokens, skip_special_tokens=True) == VOCABULARY.decode(tokens)


def test_each_word_comes_back_in_its_own_spelling(loaded):
    _, _, tokenizer = loaded
    for token, word in enumerate(VOCABULARY.words):
        assert tokenizer(word)["input_ids"] == [token] and tokenizer.decode([token]) == word
    everything = list(range(UNKNOWN, len(VOCABULARY)))
    assert tokenizer.decode(everything) == " ".join(VOCABULARY.words[UNKNOWN:])


def test_batches_are_padded_on_the_left(loaded):
    _, _, tokenizer = loaded
    batch = tokenizer(["red", "red Bob"], padding=True)
    red, bob = VOCABULARY.token("red"), VOCABULARY.token("Bob")
    assert batch["input_ids"] == [[PAD, red], [red, bob]]
    assert batch["attention_mask"] == [[0, 1], [1, 1]]


def test_a_chat_is_its_contents_without_instructions(loaded):
    _, _, tokenizer = loaded
    messages = [
        {"role": "system", "content": "Be good."},
        {"role": "user", "content": "red ball ?"},
        {"role": "assistant", "content": "w1"},
        {"role": "user", "content": "w2"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "red ball ? w1 w2"
