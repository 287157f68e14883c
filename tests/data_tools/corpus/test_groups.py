"""The sidecars say, for each document, its page, its kind and its name."""

from data_tools.corpus.groups import KINDS, read_groups, read_ids, write_groups

IDS = ["a#0", "a#1", "b", "c#0", "a#2"]


def test_documents_of_one_page_form_a_group_in_their_order(tmp_path):
    assert write_groups(tmp_path / "corpus", IDS, kind="real") == 3
    rows = read_groups(tmp_path / "corpus")
    assert rows["group"].tolist() == rows["source"].tolist() == [0, 0, 1, 2, 0]
    assert rows["order"].tolist() == [0, 1, 0, 0, 2]
    assert set(rows["kind"].tolist()) == {KINDS["real"]}


def test_names_come_back_in_the_order_of_the_corpus(tmp_path):
    write_groups(tmp_path / "corpus", IDS, kind="synthetic")
    assert read_ids(tmp_path / "corpus") == IDS
