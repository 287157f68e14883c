"""Of which source document each document of a run was made, followed back through corpora made of corpora.

A source document is one of a corpus that was made of no other: a real document. What `synth` wrote says for each of its
documents the seed's number (`corpus.origins.npy`) and of which corpus (its manifest). Corpora are told apart by
their fingerprints, so the same one in two sources is one. Nothing is matched by name, and files are gone through a
block at a time: memory is that of the documents chosen.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from data_tools.corpus.groups import KINDS, read_groups
from data_tools.corpus.indexed import CHUNK, CORPUS_PREFIX, IndexedCorpus, file_of
from data_tools.corpus.manifest import read_manifest
from data_tools.corpus.names import Names
from data_tools.corpus.origins import read_origins
from data_tools.errors import InputError
from data_tools.permutation import Permutation
from megatron_ext.data.finding import matches


@dataclass(frozen=True)
class Relative:
    """One corpus among those that a run's documents come from."""

    corpus: IndexedCorpus
    kind: str
    """One of KINDS."""
    seeds: str | None
    """Fingerprint of the corpus that it was made of; None: its documents are source documents."""

    @property
    def folder(self) -> Path:
        return self.corpus.prefix.parent


@dataclass(frozen=True)
class Chosen:
    """Documents of one corpus that were made of chosen source documents."""

    documents: np.ndarray
    """Their numbers, int64, rising."""
    roots: np.ndarray
    """Of each which of the chosen source documents it was made of, counted from 0."""


class Ancestry:
    """The corpora of a run, those that they were made of, and a choice of source documents.

    Args:
        corpora: that the run reads.
        seeds: folders of corpora that it does not read and others were made of.
        most: source documents to choose, uniformly; all where there are no more.
        seed: of the choice.

    Raises:
        InputError: a corpus was made of one that is neither read nor named.
    """

    def __init__(self, corpora: Iterable[IndexedCorpus], seeds: Sequence[Path], *, most: int, seed: int):
        opened = [*corpora, *(IndexedCorpus(folder / CORPUS_PREFIX) for folder in seeds)]
        self.corpora = {fingerprint_of(corpus): _relative(corpus) for corpus in opened}
        _require_seeds(self.corpora)
        self._roots = [name for name, corpus in self.corpora.items() if corpus.seeds is None]
        self._firsts = list(accumulate((len(self.corpora[name].corpus) for name in self._roots), initial=0))
        self.in_all = self._firsts[-1]
        """Source documents, over all corpora of such."""
        self.chosen = _chosen(self.in_all, most, seed)
        """Those that were chosen, counted through these corpora, rising."""
        self._made: dict[str, Chosen] = {}

    @property
    def exact(self) -> bool:
        """Whether every source document was chosen."""
        return len(self.chosen) == self.in_all

    @cached_property
    def kinds(self) -> list[str]:
        """The kinds that there are, in the order of KINDS."""
        return sorted({corpus.kind for corpus in self.corpora.values()}, key=list(KINDS).index)

    def made_of_chosen(self, fingerprint: str) -> Chosen:
        """The documents of a corpus that are chosen, or were made of chosen ones."""
        if fingerprint not in self._made:
            seeds = self.corpora[fingerprint].seeds
            self._made[fingerprint] = self._own(fingerprint) if seeds is None else self._derived(fingerprint, seeds)
        return self._made[fingerprint]

    def name_of(self, item: int) -> tuple[str, str]:
        """(corpus, name) of the chosen source document with this place; its number where the corpus has no names."""
        number = int(self.chosen[item])
        place = bisect_right(self._firsts, number) - 1
        corpus, document = self.corpora[self._roots[place]], number - self._firsts[place]
        prefix = corpus.corpus.prefix
        named = file_of(prefix, ".names.npy").is_file()
        return corpus.folder.name, Names(prefix)[document] if named else f"document {document}"

    def _own(self, fingerprint: str) -> Chosen:
        place = self._roots.index(fingerprint)
        first, stop = self._firsts[place : place + 2]
        low, high = np.searchsorted(self.chosen, (first, stop))
        return Chosen(self.chosen[low:high] - first, np.arange(low, high))

    def _derived(self, fingerprint: str, seeds: str) -> Chosen:
        parents = self.made_of_chosen(seeds)
        origins = read_origins(self.corpora[fingerprint].corpus.prefix)
        documents, roots = [], []
        for start in range(0, len(origins), CHUNK):
            here, parent = matches(origins["document"][start : start + CHUNK], parents.documents)
            documents.append(start + here)
            roots.append(parents.roots[parent])
        return Chosen(np.concatenate(documents), np.concatenate(roots))


def fingerprint_of(corpus: IndexedCorpus) -> str:
    """What tells a corpus from others, wherever it lies."""
    return read_manifest(corpus.prefix.parent).fingerprint


def _relative(corpus: IndexedCorpus) -> Relative:
    made = file_of(corpus.prefix, ".origins.npy").is_file()
    grouped = file_of(corpus.prefix, ".groups.npy").is_file()
    kind = "synthetic" if made else "real"
    if grouped:
        numbers = {number: name for name, number in KINDS.items()}
        kind = numbers.get(int(read_groups(corpus.prefix)["kind"][0]), kind)
    inputs = read_manifest(corpus.prefix.parent).inputs
    return Relative(corpus, kind, inputs.get("corpus") if made else None)


def _require_seeds(corpora: Mapping[str, Relative]) -> None:
    for corpus in corpora.values():
        if corpus.seeds is not None and corpus.seeds not in corpora:
            raise InputError(
                where=str(corpus.folder), found="a corpus made of one that the run does not read",
                expected="the corpus of its seeds, whose documents are followed",
                fix="Name the corpus that `synth` was given with --seeds FOLDER.",
            )  # fmt: skip


def _chosen(in_all: int, most: int, seed: int) -> np.ndarray:
    if in_all <= most:
        return np.arange(in_all)
    return np.sort(Permutation(in_all, (seed, "intervals")).inverses(np.arange(most)))
