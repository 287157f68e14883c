"""Megadocs: decoding the stream gives the right documents in the right order, and nothing else."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from data_tools.corpus.groups import page_of
from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.names import Names
from data_tools.corpus.verify import verify
from data_tools.corpus.views import View
from data_tools.errors import InputError
from data_tools.steps.chains import chains
from data_tools.steps.megadocs import megadocs
from data_tools.synthesis.engines.no_model import NoModel
from data_tools.synthesis.filters import Filters
from data_tools.synthesis.recipe import Draft, Seed, Steps
from data_tools.synthesis.run import synthesize
from data_tools.text.tokenizer import Tokenizer
from tests.data_tools.steps.corpora import corpus_of, neighbors_of
from tests.megatron_corpus import read_by_megatron
from tests.support import make_corpus

DOCUMENTS = 12


@dataclass(frozen=True, kw_only=True)
class Said:
    """Documents that a test can tell apart, without a model."""

    name: ClassVar[str] = "said"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "rephrase"
    draws: ClassVar[bool] = False
    times: int = 2
    cuts: bool = False

    def write(self, seed: Seed) -> Steps:
        yield []
        size = len(seed.ids)
        return [
            Draft(text=f"thought {seed.number} {n}", position=size * (n + 1) // (self.times + 1) if self.cuts else 0)
            for n in range(self.times if seed.number % 4 else 0)
        ]


def made_of(corpus: Path, output: Path, **settings: Any) -> Path:
    synthesize(corpus, output, recipe=Said(**settings), engine=NoModel(), filters=Filters(apply=()))
    return output


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("megadocs")
    corpus = make_corpus(folder, documents=DOCUMENTS)
    made_of(corpus, folder / "said", times=3)
    made_of(corpus, folder / "more", times=1)
    made_of(corpus, folder / "thoughts", times=2, cuts=True)
    return folder


@pytest.fixture
def tokenizer(place: Path) -> Tokenizer:
    return Tokenizer.load(place / "corpus")


def groups_of(view: View) -> list[np.ndarray]:
    return [view.tokens(*view.span(group)) for group in range(len(view))]


def documents_in(tokens: np.ndarray, tokenizer: Tokenizer) -> list[str]:
    """Texts between end tokens; the stream has to end with one."""
    ends = np.flatnonzero(tokens == tokenizer.eos)
    assert ends[-1] == len(tokens) - 1
    return [tokenizer.decode(part.tolist()) for part in np.split(tokens, ends + 1)[:-1] for part in [part[:-1]]]


def real_texts(place: Path, tokenizer: Tokenizer) -> list[str]:
    corpus = IndexedCorpus(place / "corpus" / CORPUS_PREFIX)
    return [tokenizer.decode(corpus.document(number)[:-1].tolist()) for number in range(DOCUMENTS)]


def said(number: int, times: int) -> list[str]:
    return [f"thought {number} {n}" for n in range(times if number % 4 else 0)]


@pytest.mark.parametrize("real", ["last", "first", "absent"])
def test_a_stitched_megadoc_is_all_of_a_document_in_order_with_end_tokens_between(
    place: Path, tmp_path: Path, tokenizer: Tokenizer, real: str
) -> None:
    megadocs(place / "corpus", [place / "said", place / "more"], tmp_path / "view", layout="stitched", real=real)
    found = [documents_in(tokens, tokenizer) for tokens in groups_of(View(tmp_path / "view"))]
    expected = []
    for number, text in enumerate(real_texts(place, tokenizer)):
        own = said(number, 3) + said(number, 1)
        expected.append({"last": [*own, text], "first": [text, *own], "absent": own}[real])
    assert sorted(found) == sorted(group for group in expected if group)


def test_each_document_of_a_simple_view_is_a_group_of_its_own(
    place: Path, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    counts = megadocs(place / "corpus", [place / "said"], tmp_path / "view", layout="simple").counts
    found = [documents_in(tokens, tokenizer) for tokens in groups_of(View(tmp_path / "view"))]
    expected = real_texts(place, tokenizer) + [text for number in range(DOCUMENTS) for text in said(number, 3)]
    assert sorted(found) == sorted([text] for text in expected)
    assert counts["groups"] == counts["members"] == len(expected)
    assert [
        documents[0] for documents in found
    ] != expected  # neighbours in the stream have nothing to do with each other


def test_thoughts_stand_in_the_document_where_they_were_written_for(
    place: Path, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    megadocs(place / "corpus", [place / "thoughts"], tmp_path / "view", layout="latent")
    corpus = IndexedCorpus(place / "corpus" / CORPUS_PREFIX)
    expected = []
    for number in range(DOCUMENTS):
        document = corpus.document(number).tolist()
        cuts = [len(document) * (n + 1) // 3 for n in range(2)] if number % 4 else []
        parts = [document[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(document)], strict=True)]
        thoughts = [tokenizer.encode([text])[0] for text in said(number, 2)]
        expected.append([token for pair in zip(parts, [*thoughts, []], strict=True) for part in pair for token in part])
    assert sorted(tokens.tolist() for tokens in groups_of(View(tmp_path / "view"))) == sorted(expected)


def test_any_stretch_of_the_stream_is_the_same_as_when_it_is_read_as_a_whole(place: Path, tmp_path: Path) -> None:
    megadocs(place / "corpus", [place / "said"], tmp_path / "view")
    view = View(tmp_path / "view")
    whole = view.tokens(0, view.size)
    assert len(whole) == view.size
    for start in range(0, view.size, 7):
        for length in (0, 1, 13, 200):
            stop = min(start + length, view.size)
            assert np.array_equal(view.tokens(start, stop), whole[start:stop])
    assert view.begins(0, view.size).tolist() == [view.span(group)[0] for group in range(len(view))]


def test_the_same_settings_give_the_same_bytes_and_another_seed_another_order(place: Path, tmp_path: Path) -> None:
    one = megadocs(place / "corpus", [place / "said"], tmp_path / "one")
    assert megadocs(place / "corpus", [place / "said"], tmp_path / "two").outputs == one.outputs
    assert megadocs(place / "corpus", [place / "said"], tmp_path / "three", seed=2).outputs != one.outputs


def test_what_was_made_of_another_corpus_is_refused(place: Path, tmp_path: Path) -> None:
    other = make_corpus(tmp_path, documents=5, name="other")
    with pytest.raises(InputError, match="not made of"):
        megadocs(other, [place / "said"], tmp_path / "view")


def test_a_corpus_that_changed_or_moved_is_told_when_the_view_is_opened(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "corpus", tmp_path / "corpus")
    shutil.copytree(place / "said", tmp_path / "said")
    megadocs(tmp_path / "corpus", [tmp_path / "said"], tmp_path / "view")
    manifest = json.loads((tmp_path / "said" / "manifest.json").read_text())
    manifest["outputs"]["corpus.bin"] = "0" * 32
    (tmp_path / "said" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="not the one that the view was made of"):
        View(tmp_path / "view")
    (tmp_path / "said").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no longer there"):
        View(tmp_path / "view")


@pytest.mark.parametrize(("options", "message"), [
    ({"layout": "tower"}, "expected one of simple"), ({"real": "middle"}, "expected one of last"),
    ({"layout": "related"}, "expected neighbours"), ({"synthetic": []}, "expected synthetic corpora"),
])  # fmt: skip
def test_options_that_do_not_fit_are_refused(
    place: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    settings = {"synthetic": [place / "said"]} | options
    with pytest.raises(InputError, match=message):
        megadocs(place / "corpus", output=tmp_path / "view", **settings)


def test_chains_follow_the_nearest_document_that_is_left_and_take_each_once() -> None:
    ids = np.array([[1, 2], [0, 2], [0, 1], [-1, -1], [0, 1]])
    similarities = np.array([[0.9, 0.8], [0.9, 0.7], [0.8, 0.7], [-2, -2], [0.5, 0.3]], dtype=np.float32)
    order, firsts = chains(ids, similarities, least=0.4)
    assert order.tolist() == [3, 4, 0, 1, 2]
    assert firsts.tolist() == [0, 1]
    order, firsts = chains(ids, similarities, least=0.85)
    assert [part.tolist() for part in np.split(order, firsts[1:])] == [[2], [3], [4], [0, 1]]


@pytest.mark.parametrize("layout", ["simple", "stitched", "latent"])
def test_a_view_that_is_written_out_is_a_corpus_with_the_same_tokens(place: Path, tmp_path: Path, layout: str) -> None:
    synthetic = place / ("thoughts" if layout == "latent" else "said")
    counts = megadocs(place / "corpus", [synthetic], tmp_path / "view", layout=layout, materialize=True).counts
    view, written = View(tmp_path / "view"), IndexedCorpus(tmp_path / "view" / CORPUS_PREFIX)
    assert np.array_equal(written.tokens(0, written.token_count), view.tokens(0, view.size))
    assert written.lengths.tolist() == [view.span(group)[1] - view.span(group)[0] for group in range(len(view))]
    assert counts["written_documents"] == len(view)
    verify(tmp_path / "view")
    names = list(Names(tmp_path / "view" / CORPUS_PREFIX))
    assert len(set(names)) == len(names)
    assert {page_of(name) for name in names} == {f"manual/{number}" for number in range(DOCUMENTS)}


def test_megatron_core_reads_a_view_that_was_written_out(place: Path, tmp_path: Path) -> None:
    megadocs(place / "corpus", [place / "said"], tmp_path / "view", materialize=True)
    theirs = read_by_megatron(tmp_path / "view" / CORPUS_PREFIX)
    assert theirs == [tokens.tolist() for tokens in groups_of(View(tmp_path / "view"))]


def test_related_documents_stand_beside_each_other(tmp_path: Path) -> None:
    corpus = corpus_of([f"word{number} only" for number in range(6)], tmp_path / "corpus")
    neighbors = neighbors_of(
        [[(3, 0.9)], [(4, 0.9)], [(5, 0.9)], [(0, 0.9)], [(1, 0.9)], [(2, 0.1)]], 1, tmp_path / "near"
    )
    megadocs(corpus, [], tmp_path / "view", layout="related", neighbors=neighbors, min_similarity=0.5)
    view = View(tmp_path / "view")
    chains_found = [view.members(group)["document"].tolist() for group in range(len(view))]
    assert sorted(map(sorted, chains_found)) == [[0, 3], [1, 4], [2], [5]]
