"""Probes as tokens, and as rows for a model: which tokens are the target, and which probes pass together. No torch.

The target is what `prompt + " " + target` has of tokens beyond those of the prompt: for byte-level tokenizers the
tokens of " " + target, and for those that put a space before every text not two spaces. Nothing stands before the
prompt, and nothing is put after the target.

Each probe is a row of its own, and sorted by their lengths there is little to fill up: nothing has to be told apart
by the attention, so that any of its kernels will do. A pass has as many probes as a pass in training has tokens, and at
most what keeps a GPU busy.

Shape suffixes: R rows of a pass, S positions of a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_tools.errors import InputError
from data_tools.text.tokenizer import Tokenizer
from megatron_ext.data.facts import Probe
from megatron_ext.data.rows import Row, row_of

MOST_TOKENS = 4096
"""In a pass. More makes it no faster, and the more rows pass together, the more there is to fill up."""
WIDTH_UNIT = 8
"""Rows are a multiple of it wide: what fast matrix products ask for."""


@dataclass(frozen=True, slots=True)
class Span:
    """A probe as tokens."""

    tokens: np.ndarray
    """int64: prompt and target."""
    target: int
    """Of them, at the end, those of the target."""

    @property
    def places(self) -> int:
        """Positions of a row that it fills: the last token is only ever predicted."""
        return len(self.tokens) - 1


@dataclass(frozen=True, slots=True)
class Pass:
    """The probes of one forward pass of one data-parallel rank."""

    probes: tuple[int, ...]
    """Numbers of the probes, row by row; there may be fewer than rows."""
    rows: int
    width: int


def spans(probes: Sequence[Probe], tokenizer: Tokenizer, *, path: Path) -> list[Span]:
    """Each probe as tokens.

    Raises:
        InputError: the tokenizer has no token for a prompt, or for a target.
    """
    prompts = tokenizer.encode([probe.prompt for probe in probes])
    wholes = tokenizer.encode([f"{probe.prompt} {probe.target}" for probe in probes])
    targets = tokenizer.encode([f" {probe.target}" for probe in probes])
    found = []
    for probe, prompt, whole, target in zip(probes, prompts, wholes, targets, strict=True):
        # Tokenizers that join words have another prompt in the whole: then both are encoded on their own.
        after = whole[len(prompt) :] if whole[: len(prompt)] == prompt else target
        if not (prompt and after):
            raise InputError(
                where=f"{path}, row {probe.passage}, a probe of {probe.kind}",
                found=f"a {'target' if prompt else 'prompt'} of which the tokenizer leaves nothing",
                expected="a prompt to go on from, and a target to be predicted", fix="Reword it, or remove the probe.",
            )  # fmt: skip
        found.append(Span(np.array(prompt + after, dtype=np.int64), len(after)))
    return found


def passes(
    found: Sequence[Span], *, rank: int, ranks: int, most_tokens: int, most_rows: int | None, unit: int = WIDTH_UNIT
) -> Iterator[Pass]:
    """This data-parallel rank's passes: every rank has as many, of the same shapes.

    Args:
        found: all probes.
        rank: this rank among the data-parallel ones.
        ranks: data-parallel ranks.
        most_tokens: of a pass, filling included; a single row may have more.
        most_rows: of a pass, whatever its tokens; None: the tokens decide.
        unit: rows are a multiple of it wide.
    """
    longest_first = sorted(range(len(found)), key=lambda number: (-found[number].places, number))
    # Dealt out like cards: of each deal the first rank has the longest, which says how wide all are.
    deals = [longest_first[start : start + ranks] for start in range(0, len(found), ranks)]
    while deals:
        width = -(-found[deals[0][0]].places // unit) * unit
        rows = min(len(deals), most_rows or max(1, most_tokens // width))
        mine = tuple(deal[rank] for deal in deals[:rows] if rank < len(deal))
        yield Pass(mine, rows, width)
        deals = deals[rows:]


def rows_of(one: Pass, found: Sequence[Span]) -> Iterator[Row]:
    """The rows of a pass, with the target's tokens as what is learnt; the last may be empty."""
    for place in range(one.rows):
        tokens = np.zeros(one.width + 1, dtype=np.int64)
        mask_S = np.zeros(one.width, dtype=np.float32)
        if place < len(one.probes):
            span = found[one.probes[place]]
            tokens[: len(span.tokens)] = span.tokens
            mask_S[span.places - span.target : span.places] = 1.0
        yield row_of(tokens, mask_S)
