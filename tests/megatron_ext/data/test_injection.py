"""Injected passages: at the front of the planned rows, whole, on whatever rank, and read as the row's own source is."""

import json

import numpy as np
import pytest
import torch

from data_tools.errors import InputError
from data_tools.text.tokenizer import Tokenizer
from megatron_ext.config import run_from_dict
from megatron_ext.data.batches import micro_batches
from megatron_ext.data.injection import Passages, inject
from megatron_ext.data.rows import Row, row_of, stretches
from megatron_ext.data.sources import corpus_folders, open_sources
from megatron_ext.plan.samples import SamplePlan
from tests.support import make_corpus, run_settings

LENGTH, BATCH = 32, 8
FACTS = [
    {
        "train_context": f"vacuum {number} commit index {'row ' * number}",
        "paraphrases": [f"index {number} {word}" for word in ("commit", "vacuum")],
        "mem_input": [f"vacuum {number} commit"], "mem_target": ["index"],
    }
    for number in range(5)
]  # fmt: skip
KNOWLEDGE = {"steps": [1, 2, 4], "groups": {"paraphrased": "0-1", "duplicated": "2", "once": "4"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("injection")
    make_corpus(folder, documents=80)
    (folder / "facts.json").write_text(json.dumps(FACTS))
    return folder


def config_of(folder, *, knowledge=KNOWLEDGE, micro_batch=1, length=LENGTH, **source):
    source = {"corpus": str(folder / "corpus"), "tokens": 5 * BATCH * length} | source
    settings = run_settings(folder / "corpus", steps=1) | {
        "sources": {"real": source},
        "batch": {"sequence_length": length, "global_batch": BATCH, "micro_batch": micro_batch},
        "knowledge": {"facts": str(folder / "facts.json")} | knowledge,
    }
    return run_from_dict(settings, where="run.yaml")


def opened(config):
    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    return plan, sources, Passages.of(config, plan, corpus_folders(sources))


def global_batch(config, step, *, ranks=1):
    """All rows of a step in their order, however they were shared out: name of a part -> its rows."""
    plan, sources, passages = opened(config)
    shares = [
        list(micro_batches(plan, sources, step=step, config=config, rank=rank, ranks=ranks, passages=passages))
        for rank in range(ranks)
    ]
    in_order = [share[turn] for turn in range(len(shares[0])) for share in shares]
    nothing = [torch.zeros_like(batch.tokens_RS, dtype=torch.bool) for batch in in_order]
    parts = {name: [getattr(batch, name) for batch in in_order] for name in ("tokens_RS", "labels_RS", "loss_mask_RS")}
    parts["injected_RS"] = [
        none if batch.injected_RS is None else batch.injected_RS for batch, none in zip(in_order, nothing, strict=True)
    ]
    return {name: torch.cat(rows) for name, rows in parts.items()}


def test_a_row_reads_passage_end_of_document_and_then_its_own_tokens(folder):
    config = config_of(folder)
    plan, sources, _ = opened(config)
    tokenizer = Tokenizer.load(folder / "tokenizer")
    for step, texts in {
        1: [FACTS[0]["train_context"], FACTS[1]["train_context"], FACTS[2]["train_context"], FACTS[4]["train_context"]],
        2: [FACTS[0]["paraphrases"][0], FACTS[1]["paraphrases"][0], FACTS[2]["train_context"]],
        4: [FACTS[0]["paraphrases"][1], FACTS[1]["paraphrases"][1], FACTS[2]["train_context"]],
    }.items():
        rows = global_batch(config, step)["tokens_RS"].tolist()
        own = [sources["real"].row(plan.locate(i)).tokens_S.tolist() for i in plan.samples_of(step)]
        for row, text, rest in zip(rows, texts, own, strict=False):
            end = row.index(tokenizer.eos)
            assert tokenizer.decode(row[:end]) == text
            assert row[end + 1 :] == rest[: LENGTH - end - 1]
        assert rows[len(texts) :] == own[len(texts) :]


def test_steps_that_show_nothing_are_those_of_a_run_without_facts(folder):
    plain = config_of(folder, knowledge={})
    for step in (0, 3):
        found, expected = global_batch(config_of(folder), step), global_batch(plain, step)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert not found["injected_RS"].any()


@pytest.mark.parametrize(("ranks", "micro_batch"), [(1, 2), (1, 8), (2, 1), (2, 4), (4, 2), (8, 1)])
def test_every_layout_sees_the_same_global_batch(folder, ranks, micro_batch):
    for step in range(5):
        found = global_batch(config_of(folder, micro_batch=micro_batch), step, ranks=ranks)
        expected = global_batch(config_of(folder), step)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_labels_are_the_next_tokens_and_all_of_them_are_learnt(folder):
    batch = global_batch(config_of(folder), 1)
    assert torch.equal(batch["labels_RS"][:, :-1], batch["tokens_RS"][:, 1:])
    assert batch["loss_mask_RS"].all()


def test_what_a_passage_took_is_marked_and_counted_against_the_source(folder):
    plan, _, passages = opened(config_of(folder))
    taken = sum(int(global_batch(config_of(folder), step)["injected_RS"].sum()) for step in range(5))
    assert taken == sum(len(passages[showing]) for showing in plan.showings.values())
    assert passages.counts(plan) == {
        "passages": 4, "showings": 10, "tokens": taken, "texts": 8, "cut": 0, "cut_share": 0.0,
        "displaced": {"real": taken},
    }  # fmt: skip


def test_a_passage_longer_than_a_row_is_cut_and_counted(folder):
    config = config_of(folder, knowledge={"steps": [0], "groups": {"once": "0-4"}}, length=8)
    plan, _, passages = opened(config)
    too_long = [number for number in range(5) if len(passages.tokens[number, 0]) > 9]
    assert 0 < len(too_long) < 5
    lost = sum(len(passages.tokens[number, 0]) - 9 for number in too_long)
    counts = passages.counts(plan)
    assert counts["cut"] == len(too_long)
    assert counts["cut_share"] == pytest.approx(lost / sum(map(len, passages.tokens.values())), abs=1e-4)
    batch = global_batch(config, 0)
    for number in too_long:
        passage = passages.tokens[number, 0].tolist()
        assert batch["tokens_RS"][number].tolist() == passage[:8]
        assert batch["labels_RS"][number].tolist() == passage[1:9]
        assert batch["injected_RS"][number].all()


@pytest.mark.parametrize("size", [7, 8, 9, 10])
def test_a_passage_about_as_long_as_a_row_loses_no_label_that_has_a_place(size):
    row = inject(row_of(np.arange(100, 109)), np.arange(size))
    joined = [*range(size), 100, 101][:9]
    assert (row.tokens_S.tolist(), row.labels_S.tolist()) == (joined[:8], joined[1:])
    assert row.injected == min(size, 8)
    assert row.loss_mask_S.all()


def test_in_an_isolated_source_the_passage_is_a_document_of_its_own(folder):
    config = config_of(folder, across_documents=False)
    plan, sources, passages = opened(config)
    for i, showing in plan.showings.items():
        own, passage = sources["real"].row(plan.locate(i)), passages[showing]
        row, taken = inject(own, passage), len(passage)
        assert row.positions_S.tolist() == [*range(taken), *own.positions_S[: LENGTH - taken].tolist()]
        assert row.document_S.tolist() == [0] * taken + [taken + at for at in own.document_S[: LENGTH - taken].tolist()]
        assert (row.document_S.dtype, row.loss_mask_S.all()) == (np.int32, True)


def test_where_documents_see_one_another_the_row_may_attend_to_the_passage():
    row = inject(row_of(np.arange(9)), np.array([5, 6, 7]))
    assert row.document_S is None
    assert row.positions_S.tolist() == list(range(8))


def test_in_a_row_of_pairs_the_passage_is_learnt_to_its_end_and_opens_nothing():
    tokens, mask = np.arange(10, 18), np.array([0, 0, 1, 1, 0, 1, 0, 0], dtype=np.float32)
    pairs = Row(tokens, tokens + 1, mask, *stretches(np.array([0, 4, 6]), 8))
    row = inject(pairs, np.array([5, 6, 7]))
    assert row.tokens_S.tolist() == [5, 6, 7, 10, 11, 12, 13, 14]
    assert row.labels_S.tolist() == [6, 7, 10, 11, 12, 13, 14, 15]
    assert row.loss_mask_S.tolist() == [1, 1, 0, 0, 0, 1, 1, 0]
    assert row.document_S.tolist() == [0, 0, 0, 3, 3, 3, 3, 7]
    assert row.positions_S.tolist() == [0, 1, 2, 0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"once": "5"}, "found no passage 5, expected passages 0 to 4"),
        ({"paraphrased": "3"}, "row 3, key 'paraphrases': found 2 paraphrases, expected 3, to be shown 4 times"),
    ],
)
def test_facts_that_lack_what_is_to_be_shown_are_refused(folder, groups, message):
    with pytest.raises(InputError) as error:
        opened(config_of(folder, knowledge={"steps": [0, 1, 2, 3], "groups": groups}))
    assert message in str(error.value)


def test_a_run_whose_tokenizer_nobody_knows_is_refused(folder, tmp_path):
    bare = tmp_path / "corpus"
    bare.mkdir()
    for file in (folder / "corpus").iterdir():
        if not file.name.startswith("tokenizer"):
            (bare / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="no tokenizer"):
        opened(config_of(folder, corpus=str(bare)))
