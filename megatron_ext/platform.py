"""Megatron-core on whatever this machine has: GPUs over NCCL, or plain CPU processes over gloo.

This is the only place that changes other people's modules. Megatron-core asks for CUDA by name in many places; on a
host without a GPU those requests are answered by the CPU, so that the very same schedules, optimizer and checkpoints
run on a laptop. Call `start` before anything of Megatron-core is built, once a process, and `stop` at its end.
"""

import importlib.util
import inspect
import os
import warnings
from contextlib import nullcontext
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from megatron_ext.config import LayoutConfig, require_ranks


class FusedAdam(torch.optim.Optimizer):
    """AdamW with one fused kernel, on CPU and GPU, that keeps `step` in the group as Apex and Transformer Engine do.

    torch's own AdamW keeps `step` beside every parameter, which Megatron-core's distributed optimizer cannot load
    again in a fresh process (`KeyError: 'step'`).
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **_unused: Any,  # Apex' and TE's own switches, such as adam_w_mode, which is always on here
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            group["step"] = group.get("step", 0) + 1
            for parameter in parameters:
                state = self.state[parameter]
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
            # The kernel wants a step tensor for each parameter; they are views of one number.
            step = torch.tensor(float(group["step"]), device=parameters[0].device)
            torch._fused_adamw_(
                parameters,
                [parameter.grad for parameter in parameters],
                [self.state[parameter]["exp_avg"] for parameter in parameters],
                [self.state[parameter]["exp_avg_sq"] for parameter in parameters],
                [],
                [step] * len(parameters),
                amsgrad=False,
                lr=float(group["lr"]),
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
                grad_scale=None,
                found_inf=None,
            )


def start(layout: LayoutConfig, *, seed: int, timeout_minutes: float = 10.0) -> None:
    """Join the process group that the launcher describes, and lay out Megatron-core's groups over it.

    Args:
        layout: how one model is cut over ranks.
        seed: of whatever is random beside weights and samples, which have generators of their own.
        timeout_minutes: after which a collective that not all ranks have joined fails.

    Raises:
        InputError: the number of processes is not a multiple of the ranks of one model.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    require_ranks(layout, world, where="layout")
    prepare()
    from megatron.core import parallel_state, tensor_parallel

    if not torch.distributed.is_initialized():
        for key, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1"}.items():
            os.environ.setdefault(key, value)
        if has_gpu():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        timeout = timedelta(minutes=timeout_minutes)
        torch.distributed.init_process_group("nccl" if has_gpu() else "gloo", timeout=timeout)
    parallel_state.initialize_model_parallel(
        layout.tensor,
        layout.pipeline,
        layout.chunks if layout.chunks > 1 else None,
        context_parallel_size=layout.context,
    )
    torch.manual_seed(seed)
    tensor_parallel.model_parallel_cuda_manual_seed(seed)


@cache
def prepare() -> None:
    """Make the changes that `start` needs; a second call changes nothing.

    On a CPU, a process that calls this before it imports anything of Megatron-core starts in half the time.
    """
    if not has_gpu():
        _answer_cuda_with_cpu()
        _leave_out_the_compiler()
    with warnings.catch_warnings():
        # Each Megatron-core module warns that Transformer Engine is absent; we bring our own layers for that case.
        warnings.simplefilter("ignore")
        _replace_missing_optimizer()
    if not has_gpu():
        _keep_random_state_on_cpu()


def stop() -> None:
    """Leave the process group."""
    from megatron.core import parallel_state

    parallel_state.destroy_model_parallel()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def has_gpu() -> bool:
    return torch.cuda.is_available()


def has_transformer_engine() -> bool:
    """Whether Transformer Engine's layers can run here: it is installed, and there is a GPU for it."""
    return has_gpu() and importlib.util.find_spec("transformer_engine") is not None


def is_first_rank() -> bool:
    """Whether this process speaks for the run: writes its files, shows its progress."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def device() -> torch.device:
    """Where this process' tensors live."""
    return torch.device("cuda", torch.cuda.current_device()) if has_gpu() else torch.device("cpu")


class _CudaMeansCpu(TorchFunctionMode):
    """Every request for the device "cuda" is answered by the CPU."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.cuda:
            return args[0]
        if func is torch.Tensor.type and len(args) == 1 and not kwargs:
            # DistributedDataParallel and the optimizer tell parameters apart by this name.
            return func(*args).replace("torch.", "torch.cuda.", 1)
        if _is_cuda(kwargs.get("device")):
            kwargs = {**kwargs, "device": "cpu"}
        if func is torch.Tensor.to and len(args) > 1 and _is_cuda(args[1]):
            args = (args[0], "cpu", *args[2:])
        return func(*args, **kwargs)


def _is_cuda(where: Any) -> bool:
    if isinstance(where, str):
        return where.startswith("cuda")
    return isinstance(where, torch.device) and where.type == "cuda"


class _NoStream:
    """A stream or event of a device that has none: everything has already happened."""

    def __init__(self, *_args: Any, **_kwargs: Any):
        pass

    def __getattr__(self, _name: str) -> Any:
        return lambda *_args, **_kwargs: None


def _answer_cuda_with_cpu() -> None:
    _CudaMeansCpu().__enter__()
    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.cuda.synchronize = lambda *_args, **_kwargs: None
    torch.cuda.Stream = torch.cuda.Event = _NoStream
    torch.cuda.current_stream = torch.cuda.default_stream = lambda *_args, **_kwargs: _NoStream()
    torch.cuda.stream = lambda *_args, **_kwargs: nullcontext()
    torch.cuda.empty_cache = lambda: None
    torch.cuda.get_rng_state = lambda *_args, **_kwargs: torch.get_rng_state()
    torch.cuda.set_rng_state = lambda state, *_args, **_kwargs: torch.set_rng_state(state)
    torch.cuda.manual_seed = torch.manual_seed


def _leave_out_the_compiler() -> None:
    """Megatron-core compiles its fused functions while it is imported, and loads torch's compiler for that: seconds.

    Optimizers load it too, to be hidden from it.
    """
    torch.compile = _as_it_is
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        setattr(torch.optim.Optimizer, name, inspect.unwrap(getattr(torch.optim.Optimizer, name)))


def _as_it_is(function: Any = None, **_settings: Any) -> Any:
    return function if function is not None else _as_it_is


def _replace_missing_optimizer() -> None:
    import megatron.core.optimizer as optimizers
    import megatron.core.optimizer.distrib_optimizer as distributed

    if getattr(optimizers, "USING_PYTORCH_OPTIMIZER", False):
        optimizers.Adam = distributed.Adam = FusedAdam
        optimizers.USING_PYTORCH_OPTIMIZER = False
        distributed.HAVE_APEX_OR_TE = True


def _keep_random_state_on_cpu() -> None:
    from megatron.core.tensor_parallel import random

    random._get_cuda_rng_state = lambda *_args, **_kwargs: torch.get_rng_state()
    random._set_cuda_rng_state = lambda state, *_args, **_kwargs: torch.set_rng_state(state)
