"""Nodes of a job, held against each other: their clocks, and the bandwidth between neighbours. Gloo, NCCL on GPUs."""

import os
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from megatron_ext.config.cluster import NodeCheckConfig

if TYPE_CHECKING:
    import torch

JOIN_SECONDS = 120
"""For all nodes to find each other; one that has a fault of its own doesn't come."""
PORT_OFFSET = 10_000
"""The ranks listen on MASTER_PORT themselves, seconds later."""
ROUND_TRIPS = 5
MEGABYTE = 10**6


def neighbours(rank: int, nodes: int) -> list[int | None]:
    """In a ring, round by round, whom a node talks to; None where it waits. No node talks to two at a time.

    A node with one bad link of two is not at fault, its neighbour is.
    """
    if nodes == 2:
        return [1 - rank]
    links = [
        (first, (first + 1) % nodes, 2 if nodes % 2 and first == nodes - 1 else first % 2) for first in range(nodes)
    ]
    partners: list[int | None] = [None] * (3 if nodes % 2 else 2)
    for first, second, turn in links:
        if rank in (first, second):
            partners[turn] = second if rank == first else first
    return partners


def among_others(rank: int, nodes: int, node: str, check: NodeCheckConfig, *, gpus: bool) -> dict[str, Any]:
    """{"clock": seconds ahead of the first node, "links": {neighbour: GB/s each way}}, or {"unlinked": why}."""
    import torch
    from torch import distributed

    patience = timedelta(seconds=JOIN_SECONDS)
    port = int(os.environ["MASTER_PORT"]) + PORT_OFFSET
    try:
        store = distributed.TCPStore(os.environ["MASTER_ADDR"], port, nodes, rank == 0, timeout=patience)
        store.set(f"node {rank}", node)
        backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=nodes, timeout=patience)
        clock = _clock(rank, nodes)
        device = torch.device("cuda:0" if gpus else "cpu")
        links = {
            store.get(f"node {partner}").decode(): round(_bandwidth(partner, rank, check.link_megabytes, device), 3)
            for partner in _turns(neighbours(rank, nodes))
        }
        distributed.barrier(device_ids=[0] if gpus else None)
        distributed.destroy_process_group()
    except (RuntimeError, OSError) as error:
        return {"unlinked": str(error).splitlines()[0]}
    return {"clock": clock, "links": links}


def _turns(partners: Sequence[int | None]) -> Iterable[int]:
    """The neighbours one after the other; where this node waits, the others go on without it."""
    return (partner for partner in partners if partner is not None)


def _clock(rank: int, nodes: int) -> float:
    """Seconds that this node's clock is ahead of the first node's, from the quickest of some round trips."""
    import torch
    from torch import distributed

    if rank > 0:
        asked, told = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        for _ in range(ROUND_TRIPS):
            distributed.recv(asked, src=0)
            distributed.send(torch.tensor([time.time()], dtype=torch.float64), dst=0)
        distributed.recv(told, src=0)
        return round(told.item(), 6)
    for other in range(1, nodes):
        trips, there = [], torch.zeros(1, dtype=torch.float64)
        for _ in range(ROUND_TRIPS):
            sent = time.time()
            distributed.send(torch.zeros(1, dtype=torch.float64), dst=other)
            distributed.recv(there, src=other)
            back = time.time()
            trips.append((back - sent, there.item() - (sent + back) / 2))
        distributed.send(torch.tensor([min(trips)[1]], dtype=torch.float64), dst=other)
    return 0.0


def _bandwidth(partner: int, rank: int, megabytes: int, device: "torch.device") -> float:
    """GB/s each way, both ways at once; the first exchange makes the connection and is not counted."""
    import torch
    from torch import distributed

    speed = 0.0
    for size in (MEGABYTE, megabytes * MEGABYTE):
        sent, got = (torch.zeros(size // 4, device=device) for _ in range(2))
        started = time.monotonic()
        both = [distributed.P2POp(distributed.isend, sent, partner), distributed.P2POp(distributed.irecv, got, partner)]
        for work in distributed.batch_isend_irecv(both if rank < partner else both[::-1]):
            work.wait()
        if device.type == "cuda":
            torch.cuda.synchronize()
        speed = size / (time.monotonic() - started) / 1e9
    return speed
