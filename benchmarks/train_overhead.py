"""What our training loop costs beside a bare Megatron-core loop: same model, optimizer and batches, in one process.

Ours reads rows from a corpus by the plan, guards against what is not a number, records every step to events.jsonl and
TensorBoard, watches for signals, hangs and spikes, and polls a checkpoint. The bare loop is handed tensors that lie
ready in memory and only calls Megatron-core's schedule and optimizer. Both take turns in short stretches, now the one
first, now the other, so that whatever else the machine does hits both; the ratio is the median over all turns.

    python benchmarks/train_overhead.py            a model of 20M parameters
    python benchmarks/train_overhead.py --quick    the same with fewer stretches
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support import median, random_corpus, run_settings, show

MODEL = {
    "layers": 6, "hidden": 384, "ffn": 1024, "heads": 6, "kv_heads": 2, "vocabulary": 16384, "tied_embeddings": True,
}  # fmt: skip
BATCH = {"sequence_length": 256, "global_batch": 4, "micro_batch": 2}
STRETCH = 4
"""Steps in a turn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    stretches = 6 if parser.parse_args().quick else 25
    with tempfile.TemporaryDirectory() as folder:
        times = _measure(Path(folder), stretches)
    steps = {name: median(found) for name, found in times.items()}
    rows = [{"loop": name, "ms/step": 1000 * seconds} for name, seconds in steps.items()]
    ratio = median([bare / ours for bare, ours in zip(*times.values(), strict=True)])
    show(
        f"Training loops, {stretches} turns of {STRETCH} steps each", rows, ratios={"step": ratio},
        figures={"overhead": round(1 / ratio - 1, 4)},
    )  # fmt: skip


def _measure(folder: Path, stretches: int) -> dict[str, list[float]]:
    from megatron_ext import platform
    from megatron_ext.config import run_from_dict
    from megatron_ext.training.lifecycle import StopRequest
    from megatron_ext.training.preflight import check
    from megatron_ext.training.watchdog import Watchdog

    corpus = random_corpus(folder / "corpus", tokens=400_000, vocabulary=MODEL["vocabulary"])
    total = (stretches + 2) * STRETCH
    tracking = {"wandb": "disabled", "tensorboard": True}
    settings = run_settings(MODEL, corpus, steps=total, batch=BATCH, tracking=tracking)
    config, run = run_from_dict(settings, where="benchmark"), folder / "run"
    plan, sources = check(config, run, ranks=1)
    run.mkdir()
    with StopRequest() as request, Watchdog(run, rank=0, limit=600.0) as watchdog:
        platform.start(config.layout, seed=1)
        from megatron_ext.training.assemble import assemble
        from megatron_ext.training.loop import train_steps

        trainer, _ = assemble(config, run, plan, sources)
        batches = [list(trainer.batches(step)) for step in range(total)]
        times: dict[str, list[float]] = {"bare Megatron-core": [], "megatron_ext": []}
        for turn in range(stretches + 1):  # the last steps are left out: they would save
            first = turn * STRETCH

            def bare(first: int = first) -> None:
                for step in range(first, first + STRETCH):
                    _bare_step(trainer.model, trainer.optimizer, batches[step])

            def ours(first: int = first) -> None:
                train_steps(trainer, first=first, stop=first + STRETCH, request=request, watchdog=watchdog)

            sides = {"bare Megatron-core": bare, "megatron_ext": ours}
            for name in list(sides)[:: 1 if turn % 2 else -1]:
                started = time.perf_counter()
                sides[name]()
                if turn:  # the first turn warms up
                    times[name].append((time.perf_counter() - started) / STRETCH)
        trainer.tracker.close()
        platform.stop()
    return times


def _bare_step(model: list[Any], optimizer: Any, batches: list[Any]) -> float:
    """A step as the simplest training script on Megatron-core takes it, the loss read at its end."""
    import torch
    from megatron.core.pipeline_parallel import get_forward_backward_func

    def forward(data: Any, chunk: Any) -> Any:
        batch = next(data)
        losses = chunk(batch.tokens_RS, batch.positions_RS, None, labels=batch.labels_RS)

        def loss_of(output: torch.Tensor) -> Any:
            loss = (output.float() * batch.loss_mask_RS).sum()
            trained = batch.loss_mask_RS.sum()
            return loss, trained.int(), {"loss": loss.detach(), "trained": trained}

        return losses, loss_of

    model[0].zero_grad_buffer()
    optimizer.zero_grad()
    results = get_forward_backward_func()(
        forward_step_func=forward, data_iterator=iter(batches), model=model[0], num_microbatches=len(batches),
        seq_length=BATCH["sequence_length"], micro_batch_size=BATCH["micro_batch"], forward_only=False,
    )  # fmt: skip
    for group in optimizer.param_groups:
        group["lr"] = 1e-4
    optimizer.step()
    return float(sum(result["loss"] for result in results) / sum(result["trained"] for result in results))


if __name__ == "__main__":
    main()
