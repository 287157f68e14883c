"""Megadocs as a source of training rows: every token of the stream once an epoch, in the orders that a run asks for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_tools.corpus.views import View
from data_tools.errors import InputError
from data_tools.steps.megadocs import megadocs
from data_tools.text.tokenizer import Tokenizer
from megatron_ext.config import run_from_dict
from megatron_ext.data.megadocs import Megadocs
from megatron_ext.data.sources import open_source, open_sources
from megatron_ext.plan.samples import Sample, SamplePlan
from tests.data_tools.steps.test_megadocs import documents_in, made_of
from tests.support import make_corpus, run_settings

LENGTH = 16


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("megadocs")
    corpus = make_corpus(folder, documents=12)
    said, thoughts = made_of(corpus, folder / "said", times=5), made_of(corpus, folder / "thoughts", cuts=True)
    megadocs(corpus, [said], folder / "stitched")
    megadocs(corpus, [thoughts], folder / "latent", layout="latent")
    return folder


def config_of(place: Path, *, layout: str = "stitched", steps: int = 2, **changes: Any) -> Any:
    settings = run_settings(place / "corpus", steps=steps)
    settings["sources"] = {"mega": {"kind": "megadocs", "corpus": str(place / layout), "tokens": steps * 128} | changes}
    return run_from_dict(settings, where="test")


def opened(place: Path, **changes: Any) -> Megadocs:
    source = open_source(config_of(place, **changes), "mega")
    assert isinstance(source, Megadocs)
    return source


def ring(source: Megadocs, epoch: int) -> np.ndarray:
    """The stream as the rows of an epoch give it, from its beginning on."""
    starts = range(0, source.view.size, LENGTH)
    rows = [source.row(Sample("mega", epoch, start)).tokens_S for start in starts]
    return np.concatenate(rows)[: source.view.size]


def test_rows_are_the_stream_of_the_view_and_go_round_its_end(place: Path) -> None:
    source = opened(place)
    whole = View(place / "stitched").tokens(0, source.view.size)
    for start in range(source.view.size):
        row = source.row(Sample("mega", 0, start))
        expected = whole[(start + np.arange(LENGTH + 1)) % len(whole)]
        assert np.array_equal(row.tokens_S, expected[:-1])
        assert np.array_equal(row.labels_S, expected[1:])
        assert row.document_S is None


def test_an_epoch_of_the_plan_reads_every_window_once(place: Path) -> None:
    config = config_of(place, steps=8)
    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    rows = sources["mega"].extent.rows
    located = [plan.locate(i) for i in range(min(rows, plan.samples))]
    assert len({sample.start for sample in located}) == len(located)
    starts = [sample.start for sample in located]
    assert starts != sorted(starts)


def test_windows_in_order_follow_one_another_from_another_place_in_each_epoch(place: Path) -> None:
    size = opened(place).view.size
    config = config_of(place, steps=3 * (size // LENGTH) // 8, order="in_order")
    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    rows = size // LENGTH
    starts = [plan.locate(i).start for i in range(2 * rows)]
    for epoch in (starts[:rows], starts[rows:]):
        assert [(start - epoch[0]) % size for start in epoch] == [LENGTH * place for place in range(rows)]
    assert starts[0] != starts[rows]


def test_permuted_members_change_from_epoch_to_epoch_and_the_real_document_stays_last(place: Path) -> None:
    tokenizer, source = Tokenizer.load(place / "corpus"), opened(place, members="permuted")
    orders = []
    for epoch in range(3):
        stream = ring(source, epoch)
        orders.append([documents_in(stream[slice(*source.view.span(g))], tokenizer) for g in range(len(source.view))])
    fixed = [documents_in(source.view.tokens(*source.view.span(g)), tokenizer) for g in range(len(source.view))]
    for order in orders:
        assert [sorted(group) for group in order] == [sorted(group) for group in fixed]
        assert [group[-1] for group in order] == [group[-1] for group in fixed]
    assert orders[0] != orders[1] != orders[2]
    assert np.array_equal(ring(source, 1), ring(opened(place, members="permuted"), 1))


@pytest.mark.parametrize("start", [0, 5, 100, 300])
def test_isolated_megadocs_begin_a_stretch_of_their_own_and_their_members_do_not(place: Path, start: int) -> None:
    source = opened(place, across_documents=False)
    row = source.row(Sample("mega", 0, start))
    assert row.document_S is not None
    begins = {source.view.span(group)[0] for group in range(len(source.view))}
    expected, begin = [], 0
    for position in range(LENGTH):
        begin = position if (start + position) % source.view.size in begins else begin
        expected.append(begin)
    assert row.document_S.tolist() == expected
    assert row.positions_S.tolist() == [position - begin for position, begin in enumerate(expected)]


def test_the_documents_of_a_sample_are_numbered_through_the_corpora(place: Path) -> None:
    source = opened(place)
    numbers = {number for start in range(source.view.size) for number in source.documents(Sample("mega", 0, start))}
    assert numbers == set(range(sum(map(len, source.corpora))))


def test_members_of_a_latent_view_have_their_places_and_are_not_permuted(place: Path) -> None:
    opened(place, layout="latent")
    with pytest.raises(InputError, match=r"permuted, of a view laid out as latent"):
        opened(place, layout="latent", members="permuted")


@pytest.mark.parametrize("changes", [{"kind": "windows", "members": "permuted"}, {"order": "sideways"}])
def test_options_that_fit_no_source_are_refused(place: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        config_of(place, **changes)


def test_a_run_that_changed_its_order_of_members_does_not_go_on(place: Path) -> None:
    def plan(**changes: Any) -> SamplePlan:
        config = config_of(place, **changes)
        return SamplePlan.of(config, {name: source.extent for name, source in open_sources(config).items()})

    fixed, permuted = plan(), plan(members="permuted")
    assert fixed.fingerprint != permuted.fingerprint
    assert "members of source mega" in str(permuted.agrees(fixed.describe(), samples=8, step=1))
    assert "members of source mega" in str(fixed.agrees(permuted.describe(), samples=8, step=1))
