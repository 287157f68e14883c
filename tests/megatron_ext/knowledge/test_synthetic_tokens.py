"""Synthetic tokens of a run, up to the checkpoint that is meant: from its plan and what its corpora are made of."""

import json
import shutil

import pytest

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.errors import InputError
from data_tools.steps.tokenize import tokenize
from megatron_ext.config import as_dict, run_from_dict
from megatron_ext.knowledge.synthetic_tokens import is_run, synthetic_share, tokenizer_of, tokens_seen
from megatron_ext.plan.budget import arm_budget
from megatron_ext.training.preflight import check_data
from tests.support import make_corpus, run_settings

LENGTH, BATCH = 16, 8


@pytest.fixture
def corpora(tmp_path):
    """A real corpus, and the same documents as a model's: of one tokenizer."""
    real = make_corpus(tmp_path)
    tokenize([tmp_path / "corpus.jsonl.zst"], tmp_path / "tokenizer", tmp_path / "synthetic", kind="synthetic")
    return real, tmp_path / "synthetic"


@pytest.fixture
def run(corpora, tmp_path):
    """16 steps, half of whose rows are synthetic; checkpoints after 4 and 16."""
    real, synthetic = corpora
    sources = {name: {"corpus": str(path), "tokens": 8 * BATCH * LENGTH}
               for name, path in (("real", real), ("synthetic", synthetic))}  # fmt: skip
    config = run_from_dict(run_settings(real, steps=16, sources=sources), where="test")
    folder = tmp_path / "run"
    for step in (4, 16):
        (folder / "checkpoints" / f"step_{step:08d}").mkdir(parents=True)
    extents = {name: source.extent for name, source in check_data(config)[1].items()}
    (folder / "plan.json").write_text(json.dumps({"budget": arm_budget(config, extents)}))
    (folder / "config.json").write_text(json.dumps(as_dict(config)))
    return folder


def test_a_run_counts_the_synthetic_tokens_of_its_newest_checkpoint(run):
    seen = tokens_seen(run)
    assert seen.trained == seen.unique == 8 * BATCH * LENGTH


def test_a_checkpoint_counts_those_before_it(run):
    assert tokens_seen(run / "checkpoints" / "step_00000004").trained == 2 * BATCH * LENGTH


def test_tokens_that_are_read_again_count_once(run, corpora):
    held = len(IndexedCorpus(corpora[1] / CORPUS_PREFIX))
    assert held
    plan = json.loads((run / "plan.json").read_text())
    plan["budget"]["sources"]["synthetic"]["corpus_tokens"] = 100
    (run / "plan.json").write_text(json.dumps(plan))
    seen = tokens_seen(run)
    assert (seen.unique, seen.trained) == (100, 8 * BATCH * LENGTH)


def test_a_corpus_of_people_is_not_synthetic_and_one_of_a_model_is(corpora):
    assert synthetic_share(corpora[0], where="real") == 0
    assert synthetic_share(corpora[1], where="synthetic") == 1


def test_a_corpus_that_is_gone_is_named_with_what_to_do(run, corpora):
    shutil.rmtree(corpora[1])
    with pytest.raises(InputError, match=r"(?s)sources.synthetic: found no corpus .*--tokens NAME=NUMBER"):
        tokens_seen(run)


def test_the_tokenizer_is_that_of_a_corpus_which_is_still_there(run, corpora):
    shutil.rmtree(corpora[0])
    assert tokenizer_of(run / "checkpoints" / "step_00000004") == corpora[1]
    shutil.rmtree(corpora[1])
    with pytest.raises(InputError, match="a run whose tokenizer isn't there"):
        tokenizer_of(run)


def test_a_hugging_face_folder_is_no_run(run, tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text("{}")
    assert not is_run(str(tmp_path / "hf"))
    assert is_run(str(run))
    assert is_run(str(run / "checkpoints" / "step_00000004"))
