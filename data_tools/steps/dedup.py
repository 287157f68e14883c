"""Documents -> documents without near-duplicates, and a report of the clusters: `clusters.jsonl.zst`.

    shards: signatures ─▶ bands: candidates, verified ─▶ clusters ─▶ shards: all but the duplicates

Of each cluster the first document in the order of the inputs is kept. Whoever works, and however many there are, the
output has the same bytes. Meanwhile a document costs some 300 bytes on the disk, and some 20 in the memory of the
process that makes the clusters.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.keys import repeated
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.corpus.names import Names, write_names
from data_tools.errors import InputError
from data_tools.files import SHARDS, join_files
from data_tools.lines import write_lines
from data_tools.steps.parts import DOCUMENTS, finishing, part_name, place, totals
from data_tools.text.dedup import PERMUTATIONS, MinHash, SameWords, band_keys, bands_for, clusters, similarities
from data_tools.text.inputs import SHARD_BYTES, Shard, inputs_of, shards_of
from data_tools.text.readers import Fields, read_shard, require_usable
from data_tools.text.rejects import MAX_BAD_SHARE, Reject, Rejects, merge_rejects
from data_tools.workers import HERE, Team, folder_of, folders_of, run_shards

CLUSTERS = "clusters.jsonl.zst"
SIGNATURES, BANDS, PAIRS = "signatures.bin", "bands.npy", "pairs.npy"
NAMES, LENGTHS = "names.bin", "lengths.bin"
"""Of a shard's documents; lengths in bytes, int32."""

SIGNED_AT_ONCE = 256
"""Documents."""


def dedup(
    inputs: Sequence[Path],
    output: Path,
    *,
    threshold: float = 0.8,
    ngram: int = 5,
    exact: bool = False,
    fields: Fields = Fields(),  # noqa: B008  it is frozen
    max_bad_share: float = MAX_BAD_SHARE,
    shard_bytes: int = SHARD_BYTES,
    replace: bool = False,
    crew: Team = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Drop near-duplicates.

    Args:
        inputs: files and folders of documents, and globs.
        output: folder to make; holds `documents-00000.jsonl.zst` and so on, and `clusters.jsonl.zst`.
        threshold: Jaccard similarity from which on two documents are duplicates, above 0 and at most 1.
        ngram: words in a row that documents are compared by.
        exact: drop only documents of the same words; `threshold` and `ngram` don't count.
        fields: keys of the records.
        max_bad_share: share of the records that may be unusable.
        shard_bytes: JSON for one shard, and so for one output file.
        replace: remove an output that other inputs or settings made.
        crew: who works.
        progress: called with (shards signed, shards in all).

    Raises:
        InputError: an input can't be read, there is no document, or the threshold can't be used.
    """
    if not 0 < threshold <= 1:
        raise InputError(
            where="threshold", found=f"{threshold:g}", expected="a similarity above 0 and at most 1",
            fix="0.8 is usual.",
        )  # fmt: skip
    found = inputs_of(inputs)
    how = Signing(fields, None if exact else ngram, *((1, 8) if exact else bands_for(threshold)))

    def build(scratch: Path) -> dict[str, Any]:
        shards = shards_of(found, shard_bytes)
        require_usable(shards, fields)
        done = run_shards(how, shards, scratch, crew, progress)
        folders, sizes = folders_of(scratch, shards), [counts["read"] for counts in done]
        read = totals(done)["read"]
        rejected = merge_rejects(folders, scratch, read=read, max_bad_share=max_bad_share)
        if not read:
            raise InputError(
                where=", ".join(map(str, inputs)), found="no document", expected="at least one",
                fix="Name files with documents.",
            )  # fmt: skip
        kept = scratch / SHARDS / "kept"
        first = _clusters(scratch, folders, how, 1.0 if exact else threshold, finishing(crew))
        dropped = np.split(first != np.arange(read, dtype=np.uint32), np.cumsum(sizes)[:-1])
        run_shards(partial(_write_kept, fields), list(zip(shards, dropped, strict=True)), kept, finishing(crew))
        for number in range(len(shards)):
            place(folder_of(kept, number) / DOCUMENTS, scratch / part_name(number))
        duplicates = first[np.concatenate(dropped)]
        reported = write_lines(scratch / CLUSTERS, _report(scratch, sizes, first, how.columns))
        return {
            "read": read, "kept": read - len(duplicates), "dropped_duplicate": len(duplicates), "clusters": reported,
            "largest_cluster": 1 + int(np.unique(duplicates, return_counts=True)[1].max(initial=0)),
            **({"rejected": rejected} if rejected else {}),
        }  # fmt: skip

    settings = {
        "threshold": threshold, "ngram": ngram, "exact": exact, "permutations": PERMUTATIONS, "bands": how.bands,
        "rows": how.rows, "fields": asdict(fields), "shard_bytes": shard_bytes,
    }  # fmt: skip
    return run_step(
        output, step="dedup", inputs=found.named(), settings=settings, build=build, replace=replace, task=crew.part
    )


@dataclass(frozen=True)
class Signing:
    """Makes the signatures of one shard, its bands' keys, and the list of its documents."""

    fields: Fields
    ngram: int | None
    """None: equal words."""
    bands: int
    rows: int

    @property
    def columns(self) -> int:
        return (MinHash if self.ngram else SameWords).columns

    def __call__(self, shard: Shard, folder: Path) -> dict[str, int]:
        sign = MinHash(self.ngram) if self.ngram else SameWords()
        keys, lengths = [np.empty((self.bands, 0), dtype=np.uint64)], list[int]()
        with Rejects(folder) as rejects, (folder / SIGNATURES).open("wb") as signed, (folder / NAMES).open("wb") as ids:
            documents = read_shard(shard, self.fields, rejects)
            while batch := list(islice(documents, SIGNED_AT_ONCE)):
                signatures = sign([document.text for document in batch])
                signed.write(signatures.astype(np.uint8))
                keys.append(band_keys(signatures, self.bands, self.rows))
                names = [document.id.encode() for document in batch]
                ids.write(b"".join(names))
                lengths += map(len, names)
        np.save(folder / BANDS, np.concatenate(keys, axis=1))
        np.array(lengths, dtype=np.int32).tofile(folder / LENGTHS)
        return {"read": len(lengths)}


def _clusters(scratch: Path, folders: Sequence[Path], how: Signing, threshold: float, crew: Team) -> np.ndarray:
    """The first document of each one's cluster."""
    whole = join_files([folder / SIGNATURES for folder in folders], scratch / SHARDS / SIGNATURES)
    banded = scratch / SHARDS / "bands"
    find = partial(_find_pairs, folders=folders, signatures=whole, columns=how.columns, threshold=threshold)
    run_shards(find, range(how.bands), banded, crew)
    documents = whole.stat().st_size // how.columns
    return clusters(documents, [folder_of(banded, band) / PAIRS for band in range(how.bands)])


def _find_pairs(
    band: int, folder: Path, *, folders: Sequence[Path], signatures: Path, columns: int, threshold: float
) -> dict[str, int]:
    """Write the pairs (first, later) that agree in a band and are as similar as asked for."""
    keys = folder / "keys"
    with keys.open("wb") as file:
        for shard in folders:
            file.write(np.load(shard / BANDS, mmap_mode="r")[band])
    candidates = repeated(keys, words=1)
    keys.unlink()
    rows = np.memmap(signatures, dtype=np.uint8, mode="r").reshape(-1, columns)
    pairs = candidates[similarities(rows, candidates) >= threshold]
    np.save(folder / PAIRS, pairs.astype(np.uint32))
    return {"candidates": len(candidates), "pairs": len(pairs)}


def _write_kept(fields: Fields, shard: tuple[Shard, np.ndarray], folder: Path) -> dict[str, int]:
    documents = read_shard(shard[0], fields, _pass_over)
    kept = (document for document, away in zip(documents, shard[1], strict=True) if not away)
    return {"kept": write_lines(folder / DOCUMENTS, kept)}


def _pass_over(_reject: Reject) -> None:
    """Told and counted when the shard was signed."""


def _report(scratch: Path, sizes: Sequence[int], first: np.ndarray, columns: int) -> Iterator[dict[str, Any]]:
    """A line for each cluster: the document that is kept, and those that are not, with their similarity to it."""
    names = _names(scratch, sizes)
    later = np.flatnonzero(first != np.arange(len(first), dtype=np.uint32))
    later = later[np.argsort(first[later], kind="stable")]
    signatures = np.memmap(scratch / SHARDS / SIGNATURES, dtype=np.uint8, mode="r").reshape(-1, columns)
    similar = similarities(signatures, np.stack([first[later], later], axis=1))
    bounds = np.flatnonzero(np.diff(first[later], prepend=-1, append=-1))
    for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
        yield {
            "kept": names[int(first[later[begin]])],
            "dropped": [names[int(number)] for number in later[begin:end]],
            "jaccard": [round(float(value), 3) for value in similar[begin:end]],
        }


def _names(scratch: Path, sizes: Sequence[int]) -> Names:
    folders, prefix = folders_of(scratch, sizes), scratch / SHARDS / "all"
    files = (join_files([folder / name for folder in folders], scratch / SHARDS / name) for name in (NAMES, LENGTHS))
    write_names(prefix, *files)
    return Names(prefix)
