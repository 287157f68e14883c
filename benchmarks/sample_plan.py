"""The sample plan against Megatron-core's datasets, on the same files: first batch, memory, random reads.

The mixture is that of a 1T-token run: 50B unique tokens in 60M documents, read 17.5 times, and 125B synthetic tokens
read once. Token files are sparse: both sides read real `.idx` files and zeros. Each side is measured in processes of
its own, started afresh:

  - start: seconds from the end of the imports to the first batch of 8 rows. The peer's index is built, not cached;
    a second start, from the cache, is among the figures.
  - memory: peak resident bytes until then, above those of the bare interpreter. The peer can't be imported without
    torch and ours needs none here; training loads it in any case, so memory_above_imports leaves both sides' out.
  - read: median seconds of a random sample as tensors (tokens, labels, loss mask, positions), with all pages in
    memory; where they did not stay there, no ratio. The peer makes no attention mask, as with a fused kernel.

The peer's index of the full size takes more than 20 GB at its peak, so both sides are measured at the largest size
that fits into --memory, and ours at full size besides. The last line is JSON: ratios are the peer's cost over ours.

    python benchmarks/sample_plan.py --quick
    python benchmarks/sample_plan.py --memory 16
"""

import argparse
import importlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
LENGTH, BATCH, GLOBAL_BATCH = 4096, 8, 2048
VOCABULARY = 49152
MEAN_DOCUMENT = 833
DOCUMENTS = {"real": 60_000_000, "synthetic": 150_000_000}
EPOCHS = 17.5
PEER_BYTES_PER_SHOWING = 22
"""Peak of the peer's index for each showing of a real document: two int64 and one int32, and what stands beside."""
SHARES = (1.0, 0.75, 0.5, 0.25, 0.1, 0.05)
QUICK_SHARE = 0.01
READS = 3000
MOST_PASSES = 8
CHUNK = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size, within 50 s on 2 cores")
    parser.add_argument("--memory", type=float, default=20.0, help="GB that the peer may take at its peak")
    parser.add_argument("--folder", type=Path, default=None, help="where the files are made and removed again")
    parser.add_argument("--child", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        side, folder = options.child
        print(json.dumps(SIDES[side](Path(folder))))
        return
    share = QUICK_SHARE if options.quick else largest_share(min(options.memory * 1e9, available_bytes()))
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        figures = measured(Path(scratch), share)
        if not options.quick and share < 1:
            full = Path(scratch) / "full"
            make_corpora(full, 1.0)
            figures["ours_full_size"] = child("ours", full)
    show(figures)


def measured(folder: Path, share: float) -> dict[str, Any]:
    """Both sides on corpora of a share of the full size."""
    make_corpora(folder, share)
    bare = child("bare", folder)["peak"]
    figures: dict[str, Any] = {
        "share_of_full_size": share,
        "documents": {name: int(count * share) for name, count in DOCUMENTS.items()},
        "bare_interpreter": bare,
        "ours": child("ours", folder),
        "peer": child("peer", folder),
        "ours_reading": child("ours_reading", folder),
    }
    for side in ("ours", "peer"):
        figures[side]["memory"] = figures[side]["peak"] - bare
    return figures


def show(figures: dict[str, Any]) -> None:
    """A table for people, a line for programs."""
    ours, peer = figures["ours"], figures["peer"]
    rows = {
        "start": (ours["start"], peer["start"], "s"),
        "memory": (ours["memory"] / 1e6, peer["memory"] / 1e6, "MB"),
        "memory_above_imports": (ours["above_imports"] / 1e6, peer["above_imports"] / 1e6, "MB"),
        "read": (figures["ours_reading"]["read"] * 1e6, peer["read"] * 1e6, "us"),
    }
    if figures["ours_reading"]["read_from_disk"] or peer["read_from_disk"]:
        print("read: pages did not stay in memory, so the disk was measured; no ratio")
        del rows["read"]
    print(
        f"{'':22}{'ours':>12}{'Megatron-core':>16}{'ratio':>10}   at {figures['share_of_full_size']} of the full size"
    )
    for name, (mine, other, unit) in rows.items():
        print(f"{name:22}{mine:>9.3f} {unit:2}{other:>13.3f} {unit:2}{other / mine:>10.2f}")
    print(f"{'start from a cache':22}{'none needed':>12}{peer['start_from_cache']:>13.3f} s")
    if "ours_full_size" in figures:
        full = figures["ours_full_size"]
        print(f"{'ours at full size':22}{full['start']:>9.3f} s {full['above_imports'] / 1e6:>13.3f} MB above imports")
    ratios = {name: round(other / mine, 4) for name, (mine, other, _) in rows.items()}
    print(json.dumps({"ratios": ratios, "figures": figures}))


def largest_share(memory: float) -> float:
    """The largest size whose peer's index fits into so many bytes."""
    need = DOCUMENTS["real"] * EPOCHS * PEER_BYTES_PER_SHOWING
    return next((share for share in SHARES if share * need + 1e9 <= memory), SHARES[-1])


def available_bytes() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def make_corpora(folder: Path, share: float) -> None:
    """Corpus folders with a real index and a sparse token file."""
    for name, count in DOCUMENTS.items():
        (folder / name).mkdir(parents=True)
        write_sparse_corpus(folder / name / "corpus", int(count * share))


def write_sparse_corpus(prefix: Path, documents: int) -> None:
    """Documents of 33 to 1,632 tokens, 833 on average, all of them zero."""
    from data_tools.corpus.indexed import DTYPE_CODES, HEADER, MAGIC, file_of

    width, offset = 2, 0
    with file_of(prefix, ".idx").open("wb") as index:
        index.write(HEADER.pack(MAGIC, 1, DTYPE_CODES[np.dtype(np.uint16)], documents, documents + 1))
        for lengths in chunks_of_lengths(documents):
            index.write(lengths)
        for lengths in chunks_of_lengths(documents):
            ends = offset + np.cumsum(lengths, dtype=np.int64)
            index.write((ends - lengths) * width)
            offset = int(ends[-1])
        for start in range(0, documents + 1, CHUNK):
            index.write(np.arange(start, min(start + CHUNK, documents + 1), dtype=np.int64))
    with file_of(prefix, ".bin").open("wb") as tokens:
        tokens.truncate(offset * width)


def chunks_of_lengths(documents: int) -> Iterator[np.ndarray]:
    random_lengths = np.random.default_rng(1)
    for start in range(0, documents, CHUNK):
        count = min(CHUNK, documents - start)
        yield random_lengths.integers(33, 2 * MEAN_DOCUMENT - 33, size=count, dtype=np.int32)


def child(side: str, folder: Path) -> dict[str, float]:
    """What a fresh process measured."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = ["-c", BARE] if side == "bare" else [__file__, "--child", side, str(folder)]
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


BARE = """
lines = open("/proc/self/status").read().splitlines()
print('{"peak": %d}' % (1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))))
"""


def resident(field: str) -> int:
    """Bytes of this process; VmHWM is the peak of its own, whoever started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def timed_start(first_batch: Callable[[], Any]) -> dict[str, float]:
    """Seconds and memory from here to a first batch."""
    imported, started = resident("VmRSS"), time.perf_counter()
    first_batch()
    seconds = time.perf_counter() - started
    return {"start": seconds, "peak": resident("VmHWM"), "above_imports": max(1, resident("VmHWM") - imported)}


def timed_reads(read: Callable[[int], Any], samples: int) -> dict[str, float]:
    """Median seconds of a random sample in the first pass without the disk, or in the last: a build may have left
    the page cache empty, and it takes more than one pass to fill."""
    asked = random.Random(1).sample(range(samples), READS)
    seconds, faults = [0.0] * READS, 0
    for _ in range(MOST_PASSES):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        for place, i in enumerate(asked):
            started = time.perf_counter()
            read(i)
            seconds[place] = time.perf_counter() - started
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before
        if not faults:
            break
    return {"read": statistics.median(seconds), "read_from_disk": faults}


def run_values(folder: Path) -> dict[str, Any]:
    """The run, as a run file would have it, filled up to what the corpora hold."""
    rows = {name: (folder / name / "corpus.bin").stat().st_size // 2 // LENGTH for name in DOCUMENTS}
    tokens = {"real": int(rows["real"] * EPOCHS) * LENGTH, "synthetic": rows["synthetic"] * LENGTH}
    return {
        "model": {"layers": 2, "hidden": 64, "ffn": 128, "heads": 4, "kv_heads": 2, "vocabulary": VOCABULARY},
        "sources": {name: {"corpus": str(folder / name), "tokens": tokens[name]} for name in DOCUMENTS},
        "batch": {"sequence_length": LENGTH, "global_batch": GLOBAL_BATCH},
        "schedule": {"peak_lr": 0.01},
    }


def ours(folder: Path) -> dict[str, float]:
    from megatron_ext.config import run_from_dict
    from megatron_ext.data.sources import open_sources
    from megatron_ext.plan.samples import SamplePlan

    def first_batch() -> np.ndarray:
        config = run_from_dict(run_values(folder), where="benchmark")
        sources = open_sources(config)
        plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
        located = [plan.locate(i) for i in range(BATCH)]
        return np.stack([sources[sample.source].row(sample).tokens_S for sample in located])

    return timed_start(first_batch)


def ours_reading(folder: Path) -> dict[str, float]:
    from megatron_ext.config import run_from_dict
    from megatron_ext.data.batches import stack
    from megatron_ext.data.sources import open_sources
    from megatron_ext.plan.samples import SamplePlan

    config = run_from_dict(run_values(folder), where="benchmark")
    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})

    def row(i: int) -> Any:
        sample = plan.locate(i)
        return sources[sample.source].row(sample)

    arrays = timed_reads(row, plan.samples)
    return timed_reads(lambda i: stack([row(i)], [0]), plan.samples) | {"read_as_arrays": arrays["read"]}


class Tokenizer:
    """What the peer asks of a tokenizer."""

    vocab_size, eod, pad = VOCABULARY, 0, VOCABULARY - 1
    unique_identifiers = {"class": "none"}


def peer(folder: Path) -> dict[str, float]:
    import torch
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from torch.utils.data import default_collate

    compile_helpers()
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    rows = {name: source["tokens"] // LENGTH for name, source in run_values(folder)["sources"].items()}
    samples = sum(rows.values())
    config = GPTDatasetConfig(
        random_seed=1234, sequence_length=LENGTH, tokenizer=Tokenizer(), split="1,0,0",
        blend=([str(folder / name / "corpus") for name in rows], [count / samples for count in rows.values()]),
        path_to_cache=str(folder / "cache"), reset_position_ids=False, reset_attention_mask=False,
        eod_mask_loss=False, create_attention_mask=False,
    )  # fmt: skip
    built: list[Any] = []

    def first_batch() -> Any:
        built.append(BlendedMegatronDatasetBuilder(GPTDataset, [samples, 0, 0], lambda: True, config).build()[0])
        return default_collate([built[-1][i] for i in range(BATCH)])

    figures = timed_start(first_batch) | timed_reads(built[0].__getitem__, samples)
    built.clear()
    return figures | {"start_from_cache": timed_start(first_batch)["start"]}


def compile_helpers() -> None:
    """Megatron-core's C++ index builders come compiled in some packages; in others they have to be, once."""
    try:
        importlib.import_module("megatron.core.datasets.helpers_cpp")
    except ImportError:
        from megatron.core.datasets import utils

        utils.compile_helpers()


SIDES = {"ours": ours, "ours_reading": ours_reading, "peer": peer}

if __name__ == "__main__":
    main()
