"""The sidecars say, for each document, its page, its kind and its name."""

import numpy as np
import pytest

from data_tools.corpus.groups import KINDS, page_of, read_groups
from data_tools.corpus.keys import firsts_and_ranks, key_of, page_key, repeated
from data_tools.corpus.names import NameFiles, Names, write_sidecars

NAMES = ["a#0", "a#1", "b", "", "c#0", "a#2", "日本#1"]


def write_keys(path, names, key):
    path.write_bytes(b"".join(map(key, names)))
    return path


@pytest.fixture
def sidecars(tmp_path):
    with NameFiles(tmp_path) as files:
        files.add(NAMES[:4])
        files.add(NAMES[4:])
    assert write_sidecars(tmp_path / "corpus", tmp_path, kind="rephrase") == 5
    return tmp_path / "corpus"


def test_documents_of_one_page_form_a_group_in_their_order(sidecars):
    rows = read_groups(sidecars)
    assert rows["group"].tolist() == rows["source"].tolist() == [0, 0, 1, 2, 3, 0, 4]
    assert rows["order"].tolist() == [0, 1, 0, 0, 0, 2, 0]
    assert set(rows["kind"].tolist()) == {KINDS["rephrase"]}


def test_any_name_is_read_without_the_others(sidecars):
    names = Names(sidecars)
    assert list(names) == NAMES
    assert (len(names), names[6], names[3]) == (7, "日本#1", "")
    with pytest.raises(IndexError):
        names[7]


@pytest.mark.parametrize("part", [3, 50, 10_000])
def test_groups_and_repeats_do_not_depend_on_how_many_documents_are_sorted_at_a_time(tmp_path, part):
    names = [f"page{number}#{place}" for place, number in enumerate(np.random.default_rng(1).integers(0, 90, 400))]
    names[17] = names[311] = names[399] = names[5]
    first_of, seen = {}, {}
    for number, name in enumerate(names):
        first_of.setdefault(page_of(name), number)
        seen.setdefault(page_of(name), []).append(number)

    pages = write_keys(tmp_path / "pages", [page_of(name) for name in names], page_key)
    firsts, ranks = firsts_and_ranks(pages, part=part)
    assert firsts.tolist() == [first_of[page_of(name)] for name in names]
    assert ranks.tolist() == [seen[page_of(name)].index(number) for number, name in enumerate(names)]
    keys = write_keys(tmp_path / "keys", names, key_of)
    assert repeated(keys, part=part).tolist() == [[5, 17], [5, 311], [5, 399]]
