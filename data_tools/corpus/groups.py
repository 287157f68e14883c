"""What each document of a corpus is and where it comes from: a memory-mappable sidecar, `<prefix>.groups.npy`.

One row a document: the group it belongs to, the page it comes from, its kind, its generator, its place in the group.
A long page is kept as several documents, `manual/page#0`, `manual/page#1`, ...: splits and groups go by the
page. The documents' names lie in `<prefix>.ids.jsonl.zst`, one a line, in the same order.
"""

from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import file_of
from data_tools.lines import read_lines, write_lines

KINDS = {"real": 0, "rephrase": 1, "thought": 2, "pair_d1": 3, "pair_d2": 4, "qa": 5, "synthetic": 6}
ROW = np.dtype([("group", "<u8"), ("source", "<i8"), ("kind", "u1"), ("generator", "<u2"), ("order", "<u4")])


def page_of(document_id: str) -> str:
    """The source document that a document is a part of, or was derived from."""
    return document_id.split("#", 1)[0]


def write_groups(prefix: Path, ids: list[str], *, kind: str) -> int:
    """Write both sidecars; documents of one page form a group, in their order. Returns the number of groups."""
    pages: dict[str, int] = {}
    orders: dict[int, int] = {}
    rows = np.zeros(len(ids), dtype=ROW)
    for number, name in enumerate(ids):
        page = pages.setdefault(page_of(name), len(pages))
        rows[number] = (page, page, KINDS[kind], 0, orders.get(page, 0))
        orders[page] = orders.get(page, 0) + 1
    np.save(file_of(prefix, ".groups.npy"), rows)
    write_lines(file_of(prefix, ".ids.jsonl.zst"), ({"id": name} for name in ids))
    return len(pages)


def read_groups(prefix: Path) -> np.ndarray:
    """The rows, memory-mapped."""
    return np.load(file_of(prefix, ".groups.npy"), mmap_mode="r")


def read_ids(prefix: Path) -> list[str]:
    """The documents' names, in the order of the corpus."""
    return [row["id"] for row in read_lines(file_of(prefix, ".ids.jsonl.zst"))]
