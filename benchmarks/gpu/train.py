"""Training speed on one GPU: megatron_ext against transformers with SDPA and torch.compile, in one go.

Both train the same model on rows of the same length with the same global batch, in bf16, with fused AdamW and clipping;
transformers keeps its weights and moments in bf16 (the faster choice for it), we keep float32 main weights. Each
micro batch is a process of its own, so that what one leaves in memory does not hurt the next; the best one counts.

    python benchmarks/gpu/train.py                          sbp-3b and megadoc-300m, then the largest preset that fits
    python benchmarks/gpu/train.py --model sbp-3b --profile where the time of a step goes
    python benchmarks/gpu/train.py --quick                  the tiny model, on whatever device there is

MFU is training FLOPs by the full formula (plan/cost.py), attention included, over seconds x the GPU's dense bf16
peak, where that is known (training/gpu_peaks.yaml).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.support import median, random_corpus, run_settings, show  # noqa: E402

WARM = 5
"""Steps before measuring: compilation, autotuning, the allocator's growth."""
SIZED = ("llama3.1-8b", "sbp-6b", "llama3.2-3b", "sbp-3b")
"""Presets to try as the largest that fits, large first."""


def main() -> None:
    arguments = _arguments()
    if arguments.side:
        print(json.dumps(SIDES[arguments.side](arguments)))
        return
    rows, ratios, figures = [], {}, {}
    for model in arguments.model:
        ours, theirs = (_best(side, model, arguments) for side in ("ours", "transformers"))
        for row in (ours, theirs):
            if row:
                rows.append({"model": model, **row})
        if ours and theirs:
            ratios[f"{model} tokens per second"] = ours["tokens/s"] / theirs["tokens/s"]
        if ours:
            figures[f"{model} MFU"] = ours["MFU"]
    if not arguments.quick and not arguments.no_largest:
        largest = _largest(arguments)
        rows.append(largest)
        figures["largest preset that fits"] = largest["model"]
    if arguments.profile:
        print(_run("profile", arguments.model[0], arguments.micro_batch[0], arguments)["table"])
    show("Training on one GPU, bf16", rows, ratios=ratios, figures=figures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["sbp-3b", "megadoc-300m"], help="presets of configs/models")
    parser.add_argument("--micro-batch", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--global-batch", type=int, default=16)
    parser.add_argument("--sequence-length", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=10, help="measured steps")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--no-largest", action="store_true")
    parser.add_argument("--recompute", choices=["none", "selective", "full"], default="none")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.model, arguments.micro_batch, arguments.global_batch = ["tiny"], [2], 4
        arguments.sequence_length, arguments.steps = 256, 3
    return arguments


def _best(side: str, model: str, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The fastest micro batch of a side; None if none ran."""
    results = [_run(side, model, micro, arguments) for micro in arguments.micro_batch]
    ran = [result for result in results if "tokens/s" in result]
    return max(ran, key=lambda result: result["tokens/s"]) if ran else None


def _largest(arguments: argparse.Namespace) -> dict[str, Any]:
    for model in SIZED:
        arguments.recompute = "full"
        result = _run("ours", model, 1, arguments)
        if "tokens/s" in result:
            return {"model": model, **result, "side": "ours, layers computed again"}
    return {"model": "none", "side": "ours"}


def _run(side: str, model: str, micro: int, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", __file__, "--side", side, "--model", model, "--micro-batch", str(micro)]
    for name in ("global_batch", "sequence_length", "steps", "recompute"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = "out of memory" if "OutOfMemoryError" in done.stderr else done.stderr.strip().splitlines()[-1:]
        print(f"{model}, {side}, micro batch {micro}: {reason}", file=sys.stderr)
        return {}
    return json.loads(done.stdout.splitlines()[-1])


def _preset(name: str) -> Any:
    import yaml  # fmt: skip

    from megatron_ext.config import ModelConfig

    return ModelConfig(**yaml.safe_load((ROOT / "configs" / "models" / f"{name}.yaml").read_text()))


def _result(side: str, arguments: argparse.Namespace, seconds: list[float], memory: float) -> dict[str, Any]:
    from megatron_ext.plan.cost import training_flops
    from megatron_ext.training.metrics import gpu_name
    from megatron_ext.training.peaks import peak_flops

    tokens = arguments.global_batch * arguments.sequence_length
    flops = training_flops(_preset(arguments.model[0]), tokens, arguments.sequence_length)
    step, peak = median(seconds), peak_flops(gpu_name(), "bf16")
    return {
        "side": side,
        "micro batch": arguments.micro_batch[0],
        "seconds/step": round(step, 4),
        "tokens/s": round(tokens / step, 1),
        "MFU": "unknown peak" if peak is None else round(flops / step / peak, 4),
        "memory GB": round(memory / 2**30, 1),
    }


def _ours(arguments: argparse.Namespace) -> dict[str, Any]:
    """`megatron-ext train`, whole: its own events say how long each step took."""
    from megatron_ext.config import run_from_dict
    from megatron_ext.training.lifecycle import StopRequest
    from megatron_ext.training.run import train

    with tempfile.TemporaryDirectory() as folder:
        config = run_from_dict(_settings(arguments, Path(folder)), where="benchmark")
        with StopRequest() as request:
            train(config, Path(folder) / "run", request=request)
        events = [json.loads(line) for line in (Path(folder) / "run" / "events.jsonl").read_text().splitlines()]
    steps = [event["seconds"] for event in events if event["event"] == "step"]
    return _result("ours", arguments, steps[WARM:], _peak_memory())


def _settings(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    model = ROOT / "configs" / "models" / f"{arguments.model[0]}.yaml"
    batch = {"sequence_length": arguments.sequence_length, "global_batch": arguments.global_batch}
    steps = WARM + arguments.steps
    vocabulary = _preset(arguments.model[0]).vocabulary
    corpus = random_corpus(folder / "corpus", tokens=2_000_000, vocabulary=vocabulary)
    return run_settings(
        model, corpus, steps=steps, batch=batch | {"micro_batch": arguments.micro_batch[0]}, precision="bf16",
        layout={"recompute": arguments.recompute},
    )  # fmt: skip


def _profile(arguments: argparse.Namespace) -> dict[str, Any]:
    """Kernel times of three steps of ours, the longest first."""
    import torch

    from megatron_ext import platform
    from megatron_ext.config import run_from_dict
    from megatron_ext.training.lifecycle import StopRequest
    from megatron_ext.training.run import train

    activities = [torch.profiler.ProfilerActivity.CPU]
    if platform.has_gpu():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with tempfile.TemporaryDirectory() as folder:
        arguments.steps = 3
        config = run_from_dict(_settings(arguments, Path(folder)), where="benchmark")
        with torch.profiler.profile(activities=activities) as profile, StopRequest() as request:
            train(config, Path(folder) / "run", request=request)
    by = "self_cuda_time_total" if platform.has_gpu() else "self_cpu_time_total"
    return {"table": profile.key_averages().table(sort_by=by, row_limit=25, max_name_column_width=70)}


def _transformers(arguments: argparse.Namespace) -> dict[str, Any]:
    import time

    import torch
    from transformers import AutoModelForCausalLM, PretrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from megatron_ext.convert.hf_config import hf_config

    device = "cuda" if torch.cuda.is_available() else "cpu"
    values = hf_config(_preset(arguments.model[0]), context=arguments.sequence_length, tokens={}, dtype="bfloat16")
    config: PretrainedConfig = CONFIG_MAPPING[values["model_type"]](**values)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=torch.bfloat16).to(device)
    compiled = torch.compile(model) if device == "cuda" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    micro, parts = arguments.micro_batch[0], arguments.global_batch // arguments.micro_batch[0]
    seconds = []
    for _ in range(WARM + arguments.steps):
        ids = torch.randint(0, config.vocab_size, (parts, micro, arguments.sequence_length), device=device)
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        for part in ids:
            (compiled(input_ids=part, labels=part).loss / parts).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return _result("transformers", arguments, seconds[WARM:], _peak_memory())


def _peak_memory() -> float:
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


SIDES = {"ours": _ours, "transformers": _transformers, "profile": _profile}

if __name__ == "__main__":
    main()
