"""Whether an artifact is still what its manifest says: every file by its hash, every index by its arithmetic.

A file that is missing, cut off, changed or not in the manifest is named. Nothing is repaired.
"""

from pathlib import Path

import numpy as np

from data_tools.corpus.groups import ROW, read_groups
from data_tools.corpus.indexed import CHUNK, HEADER, IndexedCorpus, file_of
from data_tools.corpus.manifest import MANIFEST, Manifest, read_manifest
from data_tools.corpus.names import Names
from data_tools.errors import InputError
from data_tools.files import content_hash

REBUILD = "Remove the folder and build it again, or copy it again from where it is whole."


def verify(folder: Path) -> Manifest:
    """The manifest of an artifact, once all of its files have been found to be as it says.

    Raises:
        InputError: a file is missing, was changed or was added, or an index contradicts itself or its tokens.
    """
    manifest = read_manifest(folder)
    for name, expected in sorted(manifest.outputs.items()):
        path = folder / name
        if not path.is_file():
            raise _bad(path, "no such file", f"a file with hash {expected}")
        if (found := content_hash(path)) != expected:
            raise _bad(path, f"hash {found} ({path.stat().st_size} bytes)", f"hash {expected}")
    # A run goes on living in its folder: logs, results, and checkpoints that have lists of their own.
    for path in sorted(folder.rglob("*")) if manifest.step != "train" else []:
        name = str(path.relative_to(folder))
        if path.is_file() and name not in manifest.outputs and name != MANIFEST:
            raise _bad(path, "a file that the manifest does not name", "only the files of the manifest")
    for index in sorted(folder.rglob("*.idx")):
        verify_corpus(index.with_suffix(""))
    return manifest


def verify_corpus(prefix: Path) -> None:
    """Check that index, tokens and sidecars of a corpus agree.

    Raises:
        InputError: they do not; the file at fault is named.
    """
    corpus = IndexedCorpus(prefix)
    index, count = file_of(prefix, ".idx"), len(corpus)
    end = 0
    for start in range(0, count, CHUNK):
        sizes = corpus.lengths[start : start + CHUNK].astype(np.int64) * corpus.dtype.itemsize
        ends = end + np.cumsum(sizes)
        wrong = (sizes <= 0) | (corpus.offsets[start : start + CHUNK] != ends - sizes)
        if wrong.any():
            raise _bad(index, f"document {start + int(wrong.argmax())} at a wrong place", "documents end to end")
        end = int(ends[-1])
    boundaries = np.memmap(index, dtype=np.int64, mode="r", offset=HEADER.size + 12 * count, shape=(count + 1,))
    for start in range(0, count + 1, CHUNK):
        stop = min(start + CHUNK, count + 1)
        if not np.array_equal(boundaries[start:stop], np.arange(start, stop)):
            raise _bad(index, f"wrong document boundaries from {start} on", "one sequence in each document")
    _verify_sidecars(prefix, count)


def _verify_sidecars(prefix: Path, count: int) -> None:
    groups, names = file_of(prefix, ".groups.npy"), file_of(prefix, ".names.npy")
    if groups.is_file():
        try:
            rows = read_groups(prefix)
        except ValueError as error:
            raise _bad(groups, f"no array ({error})", f"{count} rows") from None
        if rows.dtype != ROW or rows.shape != (count,):
            raise _bad(groups, f"an array of shape {rows.shape} and type {rows.dtype}", f"{count} rows of type {ROW}")
    if names.is_file() and (found := len(Names(prefix))) != count:
        raise _bad(names, f"{found} names", f"{count}, one a document")


def _bad(path: Path, found: str, expected: str) -> InputError:
    return InputError(where=str(path), found=found, expected=expected, fix=REBUILD)
