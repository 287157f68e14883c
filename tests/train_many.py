"""Ranks that train several runs one after the other: starting Python and torch takes longer than a small run.

Called by a launcher with run files; each is trained into the folder of its name.
"""

import os
import sys
from pathlib import Path

import torch

from data_tools.processes import die_with_parent
from megatron_ext.config import load_run
from megatron_ext.evaluation import answers
from megatron_ext.knowledge import probes
from megatron_ext.training.lifecycle import StopRequest
from megatron_ext.training.run import train


def meet(place: Path) -> None:
    """Join a process group of this run's own: the launcher's store knows one group only."""
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=ranks)


if __name__ == "__main__":
    die_with_parent()
    for run_file in map(Path, sys.argv[1:]):
        config = load_run(run_file)
        meet(run_file.with_suffix(".store"))
        with StopRequest() as request:
            observers = [*probes.observe(config), *answers.observe(config)]
            train(config, run_file.with_suffix(""), request=request, observe=observers)
