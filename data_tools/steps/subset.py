"""A corpus -> so many tokens of it, in whole documents but the last: a view, which holds no tokens.

Documents are drawn by a keyed shuffle, so the smaller of two subsets is a part of the larger one (but for where its
last document is cut).
"""

from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import Manifest, run_step, token_settings
from data_tools.corpus.views import MEMBER, write_view
from data_tools.errors import InputError
from data_tools.permutation import Permutation


def subset(corpus: Path, output: Path, *, tokens: int, seed: int = 1234, replace: bool = False) -> Manifest:
    """Write the view.

    Args:
        corpus: to draw from.
        output: folder to make.
        tokens: of the view, exactly.
        seed: of the draw.
        replace: remove an output that other inputs or settings made.

    Raises:
        InputError: the corpus has fewer tokens.
    """

    def build(scratch: Path) -> dict[str, Any]:
        opened = IndexedCorpus(corpus / CORPUS_PREFIX)
        if opened.token_count < tokens:
            raise InputError(
                where=str(corpus), found=f"{opened.token_count} tokens", expected=f"at least {tokens} to draw",
                fix="Name a larger corpus, or draw less.",
            )  # fmt: skip
        chosen = _drawn(opened.lengths, tokens, seed)
        members = np.zeros(len(chosen), dtype=MEMBER)
        members["document"], members["end"] = chosen, opened.lengths[chosen]
        members["end"][-1] -= int(members["end"].sum(dtype=np.int64)) - tokens
        write_view(scratch, members, np.arange(len(members) + 1), [corpus])
        return {"documents": len(members), "tokens": tokens}

    options = {"layout": "subset", "tokens": tokens, "seed": seed} | token_settings(corpus)
    return run_step(output, step="subset", inputs={"corpus": corpus}, settings=options, build=build, replace=replace)


def _drawn(lengths: np.ndarray, tokens: int, seed: int) -> np.ndarray:
    """Documents in the order of the shuffle, the last one being that which reaches the tokens."""
    order, chosen, reached = Permutation(len(lengths), ("subset", seed)), [], 0
    while reached < tokens:
        chosen.append(order.at(len(chosen)))
        reached += int(lengths[chosen[-1]])
    return np.array(chosen, dtype=np.int64)
