"""What it costs to ask a model 1,950 probes: beside a step of training, and beside asking them one by one.

The probes have the lengths of the fictional-knowledge file in SmolLM2's tokens (26 on average, 97 at most), the step is
that of the published experiment, 128 rows of 2,048. Ours asks the probes in passes of rows of like length; the other
side gives each probe a forward pass of its own, which fills up nothing. Both are asked by the same code on the same
model, in turns, now the one first, now the other; ratio and share are medians over all turns. One process.

    python benchmarks/probes.py            a model of 2.6M parameters
    python benchmarks/probes.py --quick    the same with a twentieth of the probes and of the rows
    python benchmarks/probes.py --large    1B parameters in bf16, for a GPU

The share of FLOPs is counted and not measured: of a model of 1B parameters, for a batch of 1M tokens and for the
published ones.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support import median, random_corpus, run_settings, show

SMALL = {
    "layers": 4, "hidden": 192, "ffn": 512, "heads": 3, "kv_heads": 3, "vocabulary": 4096, "tied_embeddings": True,
}  # fmt: skip
LARGE = {
    "layers": 16, "hidden": 2048, "ffn": 5504, "heads": 16, "kv_heads": 16, "vocabulary": 50304,
    "tied_embeddings": True,
}  # fmt: skip
PROBES = 1950
BATCH = {"sequence_length": 2048, "global_batch": 128}
LENGTHS = {0: 10, 1: 12, 25: 21, 50: 25, 75: 29, 90: 36, 95: 42, 99: 63, 100: 97}
"""Percentile -> tokens of a probe that are read."""
TARGET = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    scale = 20 if arguments.quick else 1
    with tempfile.TemporaryDirectory() as folder:
        times, counted = _measure(Path(folder), scale, turns=3, large=arguments.large)
    rows = [{"what": name, "seconds": median(found)} for name, found in times.items()]
    asked, one_by_one, step = (np.array(found) for found in times.values())
    batch = f"{BATCH['global_batch'] // scale} x {BATCH['sequence_length']} tokens"
    show(
        f"{PROBES // scale} probes, steps of {batch}", rows,
        ratios={"probe_cost": median(one_by_one / asked)},
        figures={"share_of_a_step": round(median(asked / step), 4)} | counted,
    )  # fmt: skip


def _spans(count: int, vocabulary: int) -> list[Any]:
    from megatron_ext.knowledge.spans import Span

    generator = np.random.default_rng(1)
    lengths = (
        np.interp((np.arange(count) + 0.5) * 100 / count, list(LENGTHS), list(LENGTHS.values())).round().astype(int)
    )
    return [Span(generator.integers(0, vocabulary, length + 1), TARGET) for length in generator.permutation(lengths)]


def _measure(folder: Path, scale: int, *, turns: int, large: bool) -> tuple[dict[str, list[float]], dict[str, float]]:
    from megatron_ext import platform
    from megatron_ext.config import run_from_dict
    from megatron_ext.training.preflight import check

    sizes = LARGE if large else SMALL
    batch = {**BATCH, "global_batch": BATCH["global_batch"] // scale, "micro_batch": 4 if large else 1}
    tokens = (turns + 1) * batch["global_batch"] * batch["sequence_length"]
    corpus = random_corpus(folder / "corpus", tokens=tokens, vocabulary=sizes["vocabulary"])
    precision = "bf16" if large else "fp32"
    settings = run_settings(sizes, corpus, steps=turns + 1, batch=batch, precision=precision)
    config, run = run_from_dict(settings, where="benchmark"), folder / "run"
    plan, sources = check(config, run, ranks=1)
    platform.start(config.layout, seed=1)
    from megatron_ext.knowledge.probes import Measure
    from megatron_ext.training.assemble import assemble
    from megatron_ext.training.loop import train_step

    trainer, _ = assemble(config, run, plan, sources)
    spans = _spans(PROBES // scale, sizes["vocabulary"])
    together, apart = Measure(config, spans), Measure(config, spans, most_rows=1)
    sides = {
        "asked together": lambda _: together(trainer.model),
        "asked one by one": lambda _: apart(trainer.model),
        "a step of training": lambda turn: train_step(trainer, trainer.batches(turn), rate=1e-4),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            sides[name](turn)
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - began)
    trainer.tracker.close()
    platform.stop()
    return times, _counted()


def _counted() -> dict[str, float]:
    """Share of a step's FLOPs of the 1B model, what is filled up included."""
    from megatron_ext.config import ModelConfig
    from megatron_ext.knowledge.spans import MOST_TOKENS, passes
    from megatron_ext.plan.cost import training_flops

    model = ModelConfig(**LARGE)
    made = list(passes(_spans(PROBES, 100), rank=0, ranks=1, most_tokens=MOST_TOKENS, most_rows=None))
    forward = sum(training_flops(model, one.rows * one.width, one.width) for one in made) / 3

    def share(rows: int, length: int) -> float:
        return round(forward / training_flops(model, rows * length, length), 4)

    return {
        "tokens_in_passes": sum(one.rows * one.width for one in made),
        "passes": len(made),
        "flops_share_1b_256x4096": share(256, 4096),
        "flops_share_1b_2048x2048": share(2048, 2048),
        "flops_share_1b_128x2048": share(128, 2048),
    }


if __name__ == "__main__":
    main()
