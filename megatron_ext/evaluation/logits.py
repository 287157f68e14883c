"""Logits changed where they leave a model, for as long as something is asked of it; its own loss is then of the others.

The output layer's own logits are this tensor rank's part of the vocabulary, so that a change has to be one that each
rank can make to its part: a factor, a sum with what another model said of the same part.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from megatron_ext.checkpoint.loading import bare


@contextmanager
def changed_logits(model: list[Any], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Put `change` behind the output layer; it gets the logits of each pass in float32. Ranks without it do nothing."""

    def hook(_layer: Any, _inputs: Any, output: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        return change(output[0].float()), output[1]

    layers = [bare(chunk).output_layer for chunk in model if bare(chunk).post_process]
    hooks = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()
