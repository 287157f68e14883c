"""Documents in chains of neighbours: each is followed by the nearest one that no chain has yet.

Source: Shi et al. 2024, In-Context Pretraining, document ordering: a chain begins at the document with the fewest
neighbours, which would be hard to reach later.
"""

import numpy as np

ROWS_AT_ONCE = 1 << 20


def chains(ids: np.ndarray, similarities: np.ndarray, *, least: float) -> tuple[np.ndarray, np.ndarray]:
    """All documents in chains.

    Args:
        ids: neighbours of each document, nearest first, -1 where there is none; shape (documents, k).
        similarities: of these neighbours.
        least: similarity below which two documents are no neighbours.

    Returns:
        (documents in their order, int64; where each chain begins, int64)
    """
    count = len(ids)
    neighbours = np.concatenate(
        [
            ((ids[at : at + ROWS_AT_ONCE] >= 0) & (similarities[at : at + ROWS_AT_ONCE] >= least)).sum(1)
            for at in range(0, count, ROWS_AT_ONCE)
        ]
    )
    taken, order, firsts = bytearray(count), np.empty(count, dtype=np.int64), []
    place = 0
    for first in np.argsort(neighbours, kind="stable").tolist():
        if taken[first]:
            continue
        firsts.append(place)
        document = first
        while document is not None:
            taken[document] = 1
            order[place] = document
            place += 1
            near = ids[document, : neighbours[document]].tolist()  # the nearest stand first
            document = next((other for other in near if not taken[other]), None)
    return order, np.array(firsts, dtype=np.int64)
