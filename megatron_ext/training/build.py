"""A run's model and optimizer on this rank, wrapped for training in its layout."""

from typing import Any

from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads

from megatron_ext.config import RunConfig
from megatron_ext.model import build_model
from megatron_ext.training.optimizer import build_optimizer


def build_trainable(config: RunConfig, *, fresh: bool) -> tuple[list[Any], Any]:
    """(chunks in DistributedDataParallel, their distributed optimizer).

    Args:
        config: the run.
        fresh: whether the first weights are drawn; otherwise they are to be loaded.
    """
    bare = build_model(
        config.model,
        sequence_length=config.batch.sequence_length,
        layout=config.layout,
        precision=config.precision,
        seed=config.seed if fresh else None,
        isolated=config.isolated,
    )
    overlap = config.layout.overlap
    settings = DistributedDataParallelConfig(
        use_distributed_optimizer=True,
        grad_reduce_in_fp32=True,
        overlap_grad_reduce=overlap,
        overlap_param_gather=overlap,
    )
    model = [
        # With several chunks only the first one's gradients are cut into buckets: the others' are done by then.
        DistributedDataParallel(config=chunk.config, ddp_config=settings, module=chunk, disable_bucketing=number > 0)
        for number, chunk in enumerate(bare)
    ]
    optimizer = build_optimizer(config, model)
    core = bare[0].config
    core.finalize_model_grads_func = finalize_model_grads
    core.grad_scale_func = optimizer.scale_loss
    if overlap:
        # Gradients of all micro batches but the last are only added up; the last one's passes reduce them.
        pauses = [chunk.no_sync for chunk in model]
        core.no_sync_func = pauses if len(pauses) > 1 else pauses[0]
    return model, optimizer
