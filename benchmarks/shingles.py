"""The near-duplicate filter of pairs beside plain Python: sets of tuples, ids given.

    python benchmarks/shingles.py [--quick]

Documents are random ids of the lengths that web pages have; of the candidates 20 for each document, a fifth holds a
stretch of it. Both sides are given the token ids and find the same pairs. Plain Python makes the set of a first
document once for all of its candidates, and stops at the first shingle that is found. Peak memory is that of a process
of its own over so many pairs of the same documents.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.support import ROOT, median, show
from data_tools.steps.normalised import STARTS, TOKENS, NormalisedTokens

SIZE, PER_DOCUMENT, VOCABULARY = 13, 20, 49_152
DOCUMENTS, TURNS, MORE = 2_000, 5, 16
PAIRS_AT_ONCE = 1 << 16
MEMORY = "memory"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Smaller, within a minute.")
    parser.add_argument(f"--{MEMORY}", nargs=2, metavar=("FOLDER", "PAIRS"), help="What the benchmark calls itself.")
    arguments = parser.parse_args()
    if arguments.memory:
        folder, pairs = arguments.memory
        print(peak_memory(Path(folder), int(pairs)))
        return
    documents, turns = (400, 3) if arguments.quick else (DOCUMENTS, TURNS)
    with TemporaryDirectory() as folder:
        tokens, d1, d2 = make(Path(folder), documents)
        measure(tokens, d1, d2, turns=turns, memory=[own_process(folder, len(d1) * times) for times in (1, MORE)])


def measure(tokens: NormalisedTokens, d1: np.ndarray, d2: np.ndarray, *, turns: int, memory: list[float]) -> None:
    """Time both sides by turns, and show them."""
    seconds: dict[str, list[float]] = {"ours": [], "python": []}
    read = sum(len(tokens[number]) for number in d2.tolist())
    for _ in range(turns):
        ours, taken = timed(lambda: tokens.near_duplicates(d1, d2, SIZE))
        seconds["ours"].append(taken)
        plain, taken = timed(lambda: by_sets(tokens, d1, d2))
        seconds["python"].append(taken)
        assert (ours == plain).all(), "the two sides found different pairs"
    middle = {name: median(values) for name, values in seconds.items()}
    rows: list[dict[str, Any]] = [
        {"side": name, "seconds": taken, "pairs/s": int(len(d1) / taken), "ns/token of d2": taken / read * 1e9}
        for name, taken in middle.items()
    ]
    show(
        f"{len(d1):,} pairs, {read:,} tokens of d2, {ours.mean():.0%} near-duplicates; peak memory {memory[0]:.0f} MB,"
        f" and {memory[1]:.0f} MB at {MORE} times the pairs",
        rows,
        ratios={"python": middle["python"] / middle["ours"]},
        figures={"pairs_per_second": len(d1) / middle["ours"], "mb": memory[0], f"mb_at_{MORE}_times": memory[1]},
    )


def by_sets(tokens: NormalisedTokens, d1: np.ndarray, d2: np.ndarray) -> np.ndarray:
    """The same by sets of tuples."""
    found, last, held = [], None, set[tuple[int, ...]]()
    for first, second in zip(d1.tolist(), d2.tolist(), strict=True):
        if first != last:
            ids, last = tokens[first].tolist(), first
            held = {tuple(ids[start : start + SIZE]) for start in range(len(ids) - SIZE + 1)}
        ids = tokens[second].tolist()
        found.append(any(tuple(ids[start : start + SIZE]) in held for start in range(len(ids) - SIZE + 1)))
    return np.array(found)


def make(folder: Path, count: int) -> tuple[NormalisedTokens, np.ndarray, np.ndarray]:
    """Random documents on the disk, and candidates among them: a document's neighbours stand behind it."""
    chance = np.random.default_rng(1)
    lengths = np.minimum(chance.lognormal(6.5, 0.6, count).astype(int) + 1, 4096)  # a mean of about 800
    texts = [chance.integers(0, VOCABULARY, length, dtype=np.uint16) for length in lengths]
    for number in range(1, count):
        if chance.random() < 0.25:
            near = texts[max(0, number - 1 - int(chance.integers(PER_DOCUMENT)))]
            texts[number] = np.concatenate([texts[number][:50], near[: len(near) // 2], texts[number][50:]])
    for number in range(0, count, 10):  # one in ten is copied by what follows, as headers and licences are
        for other in range(number + 1, min(number + 5, count)):
            texts[other] = np.concatenate([texts[number][-60:], texts[other]])
    np.save(folder / TOKENS, np.concatenate(texts))
    np.save(folder / STARTS, np.cumsum([0, *map(len, texts)]))
    d1 = np.repeat(np.arange(count), PER_DOCUMENT)
    d2 = (d1 + np.tile(np.arange(1, PER_DOCUMENT + 1), count)) % count
    return NormalisedTokens([folder], count), d1, d2


def peak_memory(folder: Path, pairs: int) -> float:
    """MB of this process once it has filtered so many pairs."""
    count = len(np.load(folder / STARTS)) - 1
    tokens = NormalisedTokens([folder], count)
    for start in range(0, pairs, PAIRS_AT_ONCE):
        numbers = np.arange(start, min(start + PAIRS_AT_ONCE, pairs))
        d1 = numbers // PER_DOCUMENT % count
        tokens.near_duplicates(d1, (d1 + 1 + numbers % PER_DOCUMENT) % count, SIZE)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def own_process(folder: str, pairs: int) -> float:
    command = [sys.executable, "-m", "benchmarks.shingles", f"--{MEMORY}", folder, str(pairs)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What the work gives, and the seconds of this process: others on the machine count for neither side."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


if __name__ == "__main__":
    main()
