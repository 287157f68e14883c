"""What `data tokenize` costs from 10^4 to 10^7 documents: time and memory, of the whole and of the finalising process.

    python benchmarks/scaling.py --quick              10^3 to 10^5 documents
    python benchmarks/scaling.py --most 1_000_000     10^4 to 10^6
    python benchmarks/scaling.py                      to 10^7: 15 GB of disk, removed again

Documents of 40 to 60 words are generated, which isn't timed. Each size is built twice. The second time the last
document has the name of the first one, so the build is refused when all shards are done, and is run again with
--allow-repeated-names: that run has nothing left but to put the corpus together, and it is what `finalising` shows.
Memory is that of the largest process; `bytes/document` is by how much the finalising process grows from size to size.
The last row is the finalising of 60M documents, a million with --quick: names, lengths and keys made up and put
together by the function that the command calls, without texts.

Ratio `linear`: time per document at the second largest size over that at the largest; 1 or more is linear or better.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.support import Spent, show, timed  # noqa: E402
from benchmarks.tokenization import train_tokenizer  # noqa: E402
from data_tools.corpus.assembly import LENGTHS, TOKENS, assemble  # noqa: E402
from data_tools.corpus.names import NameFiles  # noqa: E402

WORDS = 2000
HALVES = 4000
"""Beginnings, and as many ends, that documents are put together from: 16M different texts."""
VOCABULARY = 4096
PRODUCTION = 60_000_000
"""Documents of the corpus whose finalising process may take 2 GB."""
PART = 200_000
"""Documents of a part that a worker hands over, about."""
DIGITS = 12
"""Of a made-up name."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one size."""

    documents: int
    tokens: int
    build: Spent
    finalising: Spent

    @property
    def per_document(self) -> float:
        """Seconds."""
        return self.build.seconds / self.documents


def main() -> None:
    options = _options()
    if options.finalise:
        parts = sorted(path for path in options.finalise.iterdir() if path.name.startswith("part"))
        assemble(parts, options.finalise, dtype=np.dtype(np.uint16), kind="real", allow_repeated_names=False)
        return
    sizes = [10**power for power in (range(3, 6) if options.quick else range(4, 8)) if 10**power <= options.most]
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        beginnings, ends = halves()
        tokenizer = Path(scratch) / "tokenizer"
        train_tokenizer((a.decode() + b.decode() for a, b in zip(beginnings, ends, strict=True)), tokenizer, VOCABULARY)
        costs = [measured(size, tokenizer, Path(scratch), options.workers) for size in sizes]
        production = 10**6 if options.quick else PRODUCTION
        report(costs, options.workers, production, finalised(production, Path(scratch) / "parts"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10^3 to 10^5 documents")
    parser.add_argument("--most", type=int, default=10**7, help="largest number of documents (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the files are made and removed again")
    parser.add_argument("--finalise", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def halves() -> tuple[list[bytes], list[bytes]]:
    """Beginnings and ends of documents, 20 to 30 words each."""
    chance = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(WORDS)]
    drawn = [" ".join(chance.choices(words, k=chance.randint(20, 30))).encode() for _ in range(2 * HALVES)]
    return drawn[:HALVES], [b" " + half for half in drawn[HALVES:]]


def lines(count: int, *, repeats: bool) -> Iterator[bytes]:
    """Documents of different texts as JSON lines; the last may have the first one's name."""
    beginnings, ends = halves()
    for number in range(count):
        text = beginnings[number % HALVES] + ends[number // HALVES % HALVES]
        name = 0 if repeats and number == count - 1 else number
        yield b'{"id": "page/%d", "text": "%b", "source": "made", "licence": "none"}\n' % (name, text)


def measured(documents: int, tokenizer: Path, scratch: Path, workers: int) -> Cost:
    corpus, output = scratch / "documents.jsonl", scratch / "corpus"
    command = [
        sys.executable, "-m", "megatron_ext", "data", "tokenize", str(corpus), str(output),
        "--tokenizer", str(tokenizer), "--workers", str(workers),
    ]  # fmt: skip
    _write(corpus, lines(documents, repeats=False))
    build = _succeeds(timed(command))
    tokens = (output / "corpus.bin").stat().st_size // 2
    shutil.rmtree(output)
    _write(corpus, lines(documents, repeats=True))
    refused = timed(command)
    if refused.status != 2:
        raise SystemExit(f"a repeated name was not refused: {refused.last_line}")
    finalising = _succeeds(timed([*command, "--allow-repeated-names"]))
    shutil.rmtree(output)
    corpus.unlink()
    return Cost(documents, tokens, build, finalising)


def finalised(documents: int, folder: Path) -> Spent:
    """The finalising of parts that hold one token for each document, in a process of its own."""
    chance = np.random.default_rng(1)
    for start in range(0, documents, PART):
        part = folder / f"part{start:012}"
        part.mkdir(parents=True)
        numbers = np.arange(start, min(start + PART, documents))
        count = len(numbers)
        digits = (numbers[:, None] // 10 ** np.arange(DIGITS - 1, -1, -1) % 10 + ord("0")).astype(np.uint8)
        random_keys = chance.integers(0, 1 << 63, size=(count, 3), dtype=np.uint64)
        lengths = np.full(count, DIGITS, dtype=np.int32)
        np.zeros(count, dtype=np.uint16).tofile(part / TOKENS)
        np.ones(count, dtype=np.int32).tofile(part / LENGTHS)
        columns = (digits, lengths, random_keys[:, 0], random_keys[:, 1:])
        for name, column in zip(NameFiles.FILES, columns, strict=True):
            np.ascontiguousarray(column).tofile(part / name)
    return _succeeds(timed([sys.executable, __file__, "--finalise", str(folder)]))


def _write(path: Path, rows: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(rows)


def _succeeds(spent: Spent) -> Spent:
    if spent.status:
        raise SystemExit(spent.output)
    return spent


def report(costs: Sequence[Cost], workers: int, production: int, finalising: Spent) -> None:
    rows: list[dict[str, Any]] = []
    for before, cost in zip([None, *costs], costs, strict=False):
        row = {
            "documents": f"{cost.documents:,}",
            "seconds": round(cost.build.seconds, 2),
            "us/document": round(1e6 * cost.per_document, 2),
            "tokens/s": f"{cost.tokens / cost.build.seconds:,.0f}",
            "peak MB": round(cost.build.peak / 1e6),
        }
        rows.append(row | _finalising(cost.finalising) | {"bytes/document": _growth(before, cost) if before else "-"})
    blank = dict.fromkeys(rows[0], "-") | {"documents": f"{production:,}"}
    rows.append(blank | _finalising(finalising))
    ratios = {"linear": costs[-2].per_document / costs[-1].per_document} if len(costs) > 1 else {}
    figures = {"workers": workers, "rows": rows}
    show(f"data tokenize, {workers} workers, documents of 40 to 60 words", rows, ratios=ratios, figures=figures)


def _finalising(spent: Spent) -> dict[str, Any]:
    return {"finalising, s": round(spent.seconds, 2), "its peak MB": round(spent.peak / 1e6)}


def _growth(before: Cost, cost: Cost) -> int:
    """Bytes of the finalising process that each further document takes."""
    return round((cost.finalising.peak - before.finalising.peak) / (cost.documents - before.documents))


if __name__ == "__main__":
    main()
