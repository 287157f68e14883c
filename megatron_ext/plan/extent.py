"""How much one source holds: what the plan, the budget and the cost need to know of a corpus, and nothing else."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Extent:
    """One source, in its own units, in rows and in tokens."""

    size: int
    """Tokens of a source of windows, pairs of a source of pairs."""
    rows: int
    """Rows in which the source is read through once: its whole windows, or the rows that its pairs are packed into."""
    tokens: int
    """Real tokens in these rows, padding left out."""

    @classmethod
    def of_windows(cls, size: int, sequence_length: int) -> Self:
        """The extent of a corpus of `size` tokens that is cut into windows; what is left over fills no row."""
        rows = size // sequence_length
        return cls(size, rows, rows * sequence_length)
