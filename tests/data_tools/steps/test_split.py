"""A page is held out or trained on, never both, and the same one whatever else is in the corpus."""

import pytest

from data_tools.errors import InputError
from data_tools.steps.clean import clean
from data_tools.steps.split import Draw, split
from data_tools.text.readers import Document, page_of, read_documents, write_documents

SHARES = {"heldout_share": 0.2, "subset_share": 0.4}


def cleaned(folder, pages):
    folder.mkdir(exist_ok=True)
    documents = [Document(f"page{n}#{part}", f"text {n} {part}", "s", "l") for n in range(pages) for part in range(3)]
    write_documents(folder / "documents.jsonl", documents)
    clean([folder / "documents.jsonl"], folder / "clean")
    return folder / "clean"


def parts(folder):
    return {name: list(read_documents([folder / name])) for name in ("heldout", "train", "subset")}


def pages_of(documents):
    return {page_of(document.id) for document in documents}


@pytest.mark.parametrize("seed", range(5))
def test_no_page_is_both_held_out_and_trained_on(tmp_path, seed):
    split(cleaned(tmp_path, 200), tmp_path / "split", seed=seed, **SHARES)
    found = parts(tmp_path / "split")
    assert not pages_of(found["heldout"]) & pages_of(found["train"])
    assert len(found["heldout"]) + len(found["train"]) == 600


def test_the_subset_is_a_part_of_train_and_holds_whole_pages(tmp_path):
    split(cleaned(tmp_path, 200), tmp_path / "split", seed=1, **SHARES)
    found = parts(tmp_path / "split")
    assert set(found["subset"]) < set(found["train"])
    assert len(found["subset"]) == 3 * len(pages_of(found["subset"]))


def test_more_documents_move_no_page_to_another_part(tmp_path):
    for name, count in (("few", 100), ("many", 300)):
        split(cleaned(tmp_path / name, count), tmp_path / f"split-{name}", seed=1, **SHARES)
    few, many = parts(tmp_path / "split-few"), parts(tmp_path / "split-many")
    assert all(pages_of(few[name]) <= pages_of(many[name]) for name in few)


def test_the_parts_are_about_as_large_as_asked_for():
    drawn = Draw(seed=1, **SHARES)
    chosen = [drawn.part_of(f"page{n}") for n in range(20_000)]
    assert chosen.count("heldout") / 20_000 == pytest.approx(0.2, abs=0.01)
    assert chosen.count("subset") / 16_000 == pytest.approx(0.4, abs=0.02)


def test_another_seed_gives_another_split(tmp_path):
    folder = cleaned(tmp_path, 100)
    first, second = (split(folder, tmp_path / f"split{seed}", seed=seed, **SHARES) for seed in (1, 2))
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("heldout_share", [0.0, 1.0])
def test_a_part_without_documents_is_refused(tmp_path, heldout_share):
    with pytest.raises(InputError, match="found no document for the part"):
        split(cleaned(tmp_path, 50), tmp_path / "split", seed=1, heldout_share=heldout_share, subset_share=0.5)
    assert not (tmp_path / "split").exists()
