"""What each document of a corpus is and where it comes from: a memory-mappable sidecar, `<prefix>.groups.npy`.

One row a document: the group it belongs to, the page it comes from, its kind, its generator, its place in the group.
A long page is kept as several documents, `manual/page#0`, `manual/page#1`, ...: splits and groups go by the
page. The documents' names are in names.
"""

from pathlib import Path

import numpy as np

from data_tools.corpus.arrays import npy_header
from data_tools.corpus.indexed import CHUNK, file_of
from data_tools.corpus.keys import firsts_and_ranks

KINDS = {
    "real": 0, "rephrase": 1, "thought": 2, "pair_d1": 3, "pair_d2": 4, "qa": 5, "synthetic": 6, "paraphrase": 7,
    "active_reading": 8, "focal": 9, "repeat": 10, "megadoc": 11,
    "pair": 12,
}  # fmt: skip
ROW = np.dtype([("group", "<u8"), ("source", "<i8"), ("kind", "u1"), ("generator", "<u2"), ("order", "<u4")])


def page_of(document_id: str) -> str:
    """The source document that a document is a part of, or was derived from."""
    return document_id.split("#", 1)[0]


def write_groups(prefix: Path, pages: Path, *, kind: str, generator: int = 0) -> int:
    """Write `<prefix>.groups.npy`; documents of one page form a group, in their order. Returns the number of groups.

    Args:
        prefix: of the corpus.
        pages: file of the key of each document's page (see keys), in order.
        kind: what the documents are, one of KINDS.
        generator: what wrote them: 0 people, 1 the model that the corpus's manifest names.
    """
    firsts, orders = firsts_and_ranks(pages)
    numbers = np.cumsum(orders == 0, dtype=np.uint32) - np.uint32(1)  # pages are counted as they first come
    with file_of(prefix, ".groups.npy").open("wb") as file:
        file.write(npy_header(ROW, (len(firsts),)))
        for start in range(0, len(firsts), CHUNK):
            here = slice(start, start + CHUNK)
            rows = np.zeros(len(firsts[here]), dtype=ROW)
            rows["group"] = rows["source"] = numbers[firsts[here]]
            rows["kind"], rows["generator"], rows["order"] = KINDS[kind], generator, orders[here]
            file.write(rows)
    return int(numbers[-1]) + 1 if len(numbers) else 0


def read_groups(prefix: Path) -> np.ndarray:
    """The rows, memory-mapped."""
    return np.load(file_of(prefix, ".groups.npy"), mmap_mode="r")
