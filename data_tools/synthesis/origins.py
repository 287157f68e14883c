"""What each synthetic document was made of: `<prefix>.origins.npy`, a row a document, memory-mappable.

Columns: `document`, the number of the seed document in the corpus that the manifest names as input; `position`, how
many of its tokens come before this document where that has a meaning (thoughts), else 0.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data_tools.corpus.arrays import npy_header
from data_tools.corpus.indexed import file_of
from data_tools.files import join_files

ORIGIN = np.dtype([("document", "<i8"), ("position", "<u4")])


def write_origins(prefix: Path, parts: Iterable[Path]) -> None:
    """Join files of rows to those of a corpus."""
    parts = list(parts)
    count = sum(path.stat().st_size for path in parts) // ORIGIN.itemsize
    join_files(parts, file_of(prefix, ".origins.npy"), header=npy_header(ORIGIN, (count,)))


def read_origins(prefix: Path) -> np.ndarray:
    """The rows, memory-mapped."""
    return np.load(file_of(prefix, ".origins.npy"), mmap_mode="r")
