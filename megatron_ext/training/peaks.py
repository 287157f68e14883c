"""What a GPU can compute at most, from `gpu_peaks.yaml`. No torch."""

from pathlib import Path

import yaml

PEAKS = Path(__file__).with_name("gpu_peaks.yaml")


def peak_flops(gpu: str | None, precision: str) -> float | None:
    """Dense FLOPs per second of a GPU in a precision; None if they are not known.

    In fp8 the peak is that of fp8, although attention and the output layer are computed in bf16.
    """
    peak = yaml.safe_load(PEAKS.read_text()).get(gpu, {}).get(precision)
    return None if peak is None else peak * 1e12
