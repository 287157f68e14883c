"""Sampling with a real transformers model: repeatable, resumable, counted."""

import json

import pytest

from data_tools.lines import read_lines
from data_tools.synthesis.engines import TransformersEngine
from data_tools.synthesis.filters import reason_to_drop
from data_tools.synthesis.run import synthesize
from tests.support import make_corpus

EOS = 1


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen3Config(vocab_size=400, num_key_value_heads=2, head_dim=8, initializer_range=0.5, **sizes)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def generate(model, prompts, **changes):
    settings = {"max_new_tokens": 12, "temperature": 0.0, "top_p": 1.0, "eos": EOS, "seed": 3} | changes
    return TransformersEngine(model).generate(prompts, **settings)


def test_a_padded_batch_answers_as_each_prompt_alone(model):
    prompts = [[5, 6, 7], [8] * 20, [9]]
    assert generate(model, prompts) == [generate(model, [prompt])[0] for prompt in prompts]


def test_the_same_seed_gives_the_same_answers_and_another_one_others(model):
    prompts = [[5, 6, 7], [8, 9]]
    drawn = generate(model, prompts, temperature=1.0)
    assert generate(model, prompts, temperature=1.0) == drawn
    assert generate(model, prompts, temperature=1.0, seed=4) != drawn


def test_an_answer_ends_at_the_end_of_document_token_and_says_whether_it_ended(model):
    endless = generate(model, [[5, 6, 7]])[0]
    assert not endless.finished
    assert len(endless.ids) == 12
    ended = generate(model, [[5, 6, 7]], eos=endless.ids[3])[0]
    assert ended.finished
    assert ended.ids == endless.ids[: endless.ids.index(endless.ids[3])]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("two words", "too_short"), ("a b c d e f g h i j k l m " * 2, "repetition"),
     ("a plain sentence of six words", None)],
)  # fmt: skip
def test_a_dropped_document_has_a_reason(text, reason):
    assert reason_to_drop(text) == reason


class BreaksAfter:
    """The real engine, which is killed in its n-th batch."""

    def __init__(self, model, batches):
        self.engine, self.left = TransformersEngine(model), batches

    def generate(self, prompts, **settings):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.engine.generate(prompts, **settings)


def test_an_interrupted_synthesis_goes_on_to_the_same_bytes(model, tmp_path):
    corpus = make_corpus(tmp_path)

    def run(name, batches):
        return synthesize(
            corpus, tmp_path / "tokenizer", lambda: BreaksAfter(model, batches), tmp_path / name, documents=10,
            model=tmp_path / "tokenizer", max_new_tokens=20, seed=7, batch=3,
        )  # fmt: skip

    whole = run("whole", 4)
    with pytest.raises(KeyboardInterrupt):
        run("interrupted", 2)
    assert not (tmp_path / "interrupted").exists()
    resumed = run("interrupted", 2)
    assert resumed.outputs == whole.outputs
    counts = whole.counts
    assert counts["sampled"] == 10
    assert counts["sampled"] == counts["kept"] + sum(v for name, v in counts.items() if name.startswith("dropped_"))
    kept = list(read_lines(tmp_path / "whole" / "synthetic.jsonl.zst"))
    assert all(row["id"].startswith("manual/") and row["source"] == "sbp" for row in kept)
    assert not list((tmp_path / "whole").glob("shards*"))
    assert json.loads((tmp_path / "whole" / "samples.json").read_text())[0].keys() == {"seed_id", "seed_text", "text"}
