"""Groups of documents -> the order in which they are read: megadocs, as a view that holds no tokens.

    simple    every document, real or synthetic, on its own
    stitched  all that was made of one document, one after the other; the real document last, first, or absent
    latent    each real document with the thoughts in it, at the places that they were written for
    related   real documents in chains of neighbours, as in-context pretraining has them

Groups stand in the order of a keyed shuffle. Source: megadocs (simple, stitched, latent thoughts); Shi et al. 2024,
In-Context Pretraining: the chains are a greedy walk from the documents with the fewest neighbours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import Manifest, read_manifest, run_step, token_settings
from data_tools.corpus.origins import read_origins
from data_tools.corpus.views import MEMBER, REAL, write_view
from data_tools.errors import InputError
from data_tools.permutation import keyed_hash
from data_tools.steps.chains import chains
from data_tools.steps.materialize import materialize_view
from data_tools.steps.neighbors import IDS, SIMILARITIES
from data_tools.steps.pairs import require_belonging

LAYOUTS = ("simple", "stitched", "latent", "related")
PLACES = ("last", "first", "absent")


def megadocs(
    corpus: Path,
    synthetic: Sequence[Path],
    output: Path,
    *,
    layout: str = "stitched",
    real: str = "last",
    neighbors: Path | None = None,
    min_similarity: float = 0.0,
    seed: int = 1234,
    materialize: bool = False,
    replace: bool = False,
) -> Manifest:
    """Write a view.

    Args:
        corpus: the real corpus.
        synthetic: corpora that were made of it.
        output: folder to make.
        layout: one of LAYOUTS.
        real: where the real document stands in a stitched megadoc, and whether it is there at all in `simple`.
        neighbors: folder of `data neighbors`, of the real corpus; for `related`.
        min_similarity: that neighbours in a chain have at least.
        seed: of the order of the groups.
        materialize: write the tokens out too, so that the folder is a corpus as well.
        replace: remove an output that other inputs or settings made.

    Raises:
        InputError: a synthetic corpus was made of another one, or an option doesn't fit the layout.
    """
    _check_options(layout, real, synthetic, neighbors)
    settings = token_settings(corpus)
    for folder in synthetic:
        _require_made_of(folder, corpus, settings)
    if neighbors is not None:
        require_belonging(corpus, neighbors)

    def build(scratch: Path) -> dict[str, Any]:
        table = _Table([corpus, *synthetic])
        if layout == "related":
            documents, groups = chains(*_neighbours(neighbors), least=min_similarity)
            members = table.whole(np.zeros(len(documents), np.uint8), documents)
        elif layout == "simple":
            members = np.concatenate([table.all_of(number) for number in range(real == "absent", len(table.corpora))])
            groups = np.arange(len(members), dtype=np.int64)
        else:
            members, groups = table.stitched(real) if layout == "stitched" else table.latent()
        members, groups = _shuffled(members, groups, seed)
        counts = _counts(members, write_view(scratch, members, groups, [corpus, *synthetic]))
        return counts | (materialize_view(scratch) if materialize else {})

    inputs = {"corpus": corpus} | {f"synthetic {number}": path for number, path in enumerate(synthetic)}
    if neighbors is not None:
        inputs["neighbors"] = neighbors
    options = {"layout": layout, "real": real, "min_similarity": min_similarity, "seed": seed} | settings
    options |= {"kind": "megadoc", "materialize": materialize}
    return run_step(output, step="megadocs", inputs=inputs, settings=options, build=build, replace=replace)


class _Table:
    """Lays out members of some corpora; the first of them is the real one."""

    def __init__(self, corpora: Sequence[Path]):
        self.corpora = [IndexedCorpus(folder / CORPUS_PREFIX) for folder in corpora]
        self._origins = [None, *(read_origins(folder / CORPUS_PREFIX) for folder in corpora[1:])]

    def whole(self, corpus: np.ndarray, document: np.ndarray) -> np.ndarray:
        """Members that are whole documents."""
        rows = np.zeros(len(document), dtype=MEMBER)
        rows["corpus"], rows["document"] = corpus, document
        for number, opened in enumerate(self.corpora):
            here = rows["corpus"] == number
            rows["end"][here] = opened.lengths[document[here]]
        return rows

    def all_of(self, number: int) -> np.ndarray:
        """All documents of a corpus."""
        count = len(self.corpora[number])
        return self.whole(np.full(count, number, dtype=np.uint8), np.arange(count, dtype=np.int64))

    def stitched(self, real: str) -> tuple[np.ndarray, np.ndarray]:
        """Members by their real document, and where each group begins; within one in the order of their corpora."""
        corpus, document, seed, _ = self._synthetic()
        place = np.ones(len(seed), dtype=np.int8)
        if real != "absent":
            own = np.arange(len(self.corpora[REAL]), dtype=np.int64)
            corpus = np.concatenate([corpus, np.full(len(own), REAL, dtype=np.uint8)])
            document, seed = np.concatenate([document, own]), np.concatenate([seed, own])
            place = np.concatenate([place, np.full(len(own), 0 if real == "first" else 2, dtype=np.int8)])
        order = np.lexsort((document, corpus, place, seed))
        return self.whole(corpus[order], document[order]), _firsts(seed[order])

    def latent(self) -> tuple[np.ndarray, np.ndarray]:
        """Real documents cut at their thoughts, which lose their end tokens: there a text goes on."""
        corpus, document, seed, position = self._synthetic()
        order = np.lexsort((document, corpus, position, seed))
        thoughts = self.whole(corpus[order], document[order])
        seed, position = seed[order], position[order].astype(np.int64)
        thoughts["end"] -= 1
        first = np.zeros(len(seed), dtype=bool)
        first[_firsts(seed)] = True
        before = self.whole(np.zeros(len(seed), np.uint8), seed)
        before["begin"], before["end"] = np.where(first, 0, np.roll(position, 1)), position
        own = np.arange(len(self.corpora[REAL]), dtype=np.int64)
        rest = self.whole(np.zeros(len(own), np.uint8), own)
        last = np.append(first[1:], True) if len(first) else first
        rest["begin"][seed[last]] = position[last]
        rows = np.concatenate([before, thoughts, rest])
        number = np.arange(len(seed))
        key = np.concatenate([2 * number, 2 * number + 1, np.full(len(own), 2 * len(seed))])
        owner = np.concatenate([seed, seed, own])
        order = np.lexsort((key, owner))
        rows, owner = rows[order], owner[order]
        filled = rows["end"] > rows["begin"]
        return rows[filled], _firsts(owner[filled])

    def _synthetic(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(corpus, document, seed document, position) of all synthetic documents."""
        parts = [
            (np.full(len(rows), number, dtype=np.uint8), np.arange(len(rows), dtype=np.int64), rows["document"],
             rows["position"])
            for number, rows in enumerate(self._origins) if rows is not None
        ]  # fmt: skip
        corpus, document, seed, position = (np.concatenate(column) for column in zip(*parts, strict=True))
        return corpus, document, seed.astype(np.int64), position


def _firsts(owner: np.ndarray) -> np.ndarray:
    """Where the runs of equal values begin."""
    return np.flatnonzero(np.diff(owner, prepend=-1)) if len(owner) else np.empty(0, np.int64)


def _shuffled(members: np.ndarray, firsts: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The groups in the order of a keyed shuffle: members, and the first of each group, and one past the last."""
    sizes = np.diff(firsts, append=len(members))
    order = np.argsort(_mixed(np.arange(len(firsts), dtype=np.uint64), seed), kind="stable")
    sizes = sizes[order]
    groups = np.concatenate([[0], np.cumsum(sizes)])
    places = np.arange(len(members)) - np.repeat(groups[:-1], sizes) + np.repeat(firsts[order], sizes)
    return members[places], groups


def _mixed(numbers: np.ndarray, seed: int) -> np.ndarray:
    """SplitMix64 of numbers: different for different numbers, and without any order that shows."""
    key = np.uint64(int.from_bytes(keyed_hash("megadocs", seed), "little"))
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _counts(members: np.ndarray, starts: np.ndarray) -> dict[str, int]:
    lengths, real = members["end"].astype(np.int64) - members["begin"], members["corpus"] == REAL
    return {
        "groups": len(starts) - 1, "members": len(members), "tokens": int(starts[-1]),
        "real_tokens": int(lengths[real].sum()), "synthetic_tokens": int(lengths[~real].sum()),
        "longest_group": int(np.diff(starts).max(initial=0)),
    }  # fmt: skip


def _check_options(layout: str, real: str, synthetic: Sequence[Path], neighbors: Path | None) -> None:
    for name, value, known in (("--layout", layout, LAYOUTS), ("--real", real, PLACES)):
        if value not in known:
            raise InputError(
                where=name, found=f"'{value}'", expected="one of " + ", ".join(known), fix="Name one of these."
            )
    related = layout == "related"
    if related == bool(synthetic) or related != (neighbors is not None):
        raise InputError(
            where=f"--layout {layout}",
            found=f"{len(synthetic)} synthetic corpora and {'no' if neighbors is None else 'a'} folder of neighbours",
            expected="neighbours and no synthetic corpus" if related else "synthetic corpora and no neighbours",
            fix="Name --neighbors FOLDER." if related else "Name the corpora that `synth` made of this one.",
        )  # fmt: skip


def _require_made_of(folder: Path, corpus: Path, settings: dict[str, Any]) -> None:
    manifest, wanted = read_manifest(folder), read_manifest(corpus).fingerprint
    if manifest.inputs.get("corpus") != wanted:
        raise InputError(
            where=str(folder), found="a corpus that was not made of " + str(corpus),
            expected="what `synth` made of it: documents are put together by their numbers in it",
            fix="Name the corpus that `synth` was given, or synthesise again.",
        )  # fmt: skip
    if manifest.settings.get("tokenizer") != settings.get("tokenizer"):
        raise InputError(
            where=str(folder), found="another tokenizer", expected=f"that of {corpus}", fix="Tokenize both alike."
        )


def _neighbours(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    assert folder is not None  # as _check_options has seen
    return np.load(folder / IDS, mmap_mode="r"), np.load(folder / SIMILARITIES, mmap_mode="r")
