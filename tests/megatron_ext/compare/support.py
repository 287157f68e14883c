"""A tiny comparison, and its parts without a run."""

from pathlib import Path
from typing import Any

import yaml

from megatron_ext.compare.runs import Comparison
from megatron_ext.config import load_comparison
from tests.support import MODEL

STEP = 128
"""Tokens of a step: 8 x 16."""


def settings(**changes: Any) -> dict[str, Any]:
    """A comparison of 8 x 16 tokens a step, over corpora beside its file."""
    return {
        "name": "tiny", "real": "corpus", "heldout": "heldout", "steps_per_epoch": 10,
        "views": {"stitched": {"synthetic": ["said"]}, "latent": {"synthetic": ["thoughts"], "layout": "latent"}},
        "arms": {
            "baseline": {"epochs": 2}, "stitched": {"view": "stitched", "epochs": 2, "weight": 0.5},
            "latent": {"view": "latent", "epochs": 1, "weight": 0.75, "changes": {"schedule.peak_lr": 0.003}},
        },
        "scan": {"points": [{"steps_per_epoch": 3, "epochs": 2}, {"steps_per_epoch": 6, "epochs": 2}]},
        "ensembles": {"members": 2, "arms": ["baseline", "stitched"]},
        "model": MODEL,
        "batch": {"sequence_length": 16, "global_batch": 8, "micro_batch": 2},
        "schedule": {"peak_lr": 0.01, "end_lr": 0.0},
        "tracking": {"wandb": "disabled", "tensorboard": False},
    } | changes  # fmt: skip


def comparison(folder: Path, **changes: Any) -> Comparison:
    """A comparison whose file stands in a folder."""
    path = folder / "comparison.yaml"
    path.write_text(yaml.safe_dump(settings(**changes), sort_keys=False))
    return Comparison(load_comparison(path), str(path), folder / "out")
