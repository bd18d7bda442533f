"""How the processes that torchrun has started find each other, as often as it starts them."""

import atexit
import importlib
import os
import socket
import time
import uuid

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from fewstep.ranks import ALONE, LostError, Ranks

LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun puts into the environment of every process that it starts."""
SECONDS_TO_MEET = 300.0
SECONDS_BETWEEN_LOOKS = 0.01


def join() -> Ranks:
    """The ranks that torchrun has started, once all are there; `ALONE` without torchrun. They stay to the end."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or not all(name in os.environ for name in LAUNCHED):
        return ALONE
    rank = int(os.environ["RANK"])
    ranks = Ranks(
        rank=rank,
        count=count,
        local_rank=int(os.environ.get("LOCAL_RANK", rank)),
        local_count=int(os.environ.get("LOCAL_WORLD_SIZE", count)),
    )
    if not dist.is_initialized():
        _connect(ranks)
        atexit.register(_leave)
    return ranks


def is_restarted(ranks: Ranks) -> bool:
    """Whether torchrun has started any of the ranks again; each machine counts the deaths of its own alone."""
    restarts = float(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    return ranks.sum(torch.tensor(restarts)).item() > 0


def _connect(ranks: Ranks) -> None:
    if ranks.local_count == ranks.count:
        _stay_on_this_machine()
    # a module whose functions have the group that there is at its import as a default, and would keep it from ending
    importlib.import_module("torch.distributed.nn.functional")
    store, rank, count = next(iter(rendezvous("env://")))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    own = PrefixStore(_meet(store, rank, count), store)
    dist.init_process_group(backend, store=own, rank=rank, world_size=count)


def _meet(store: Store, rank: int, count: int) -> str:
    """A name for this group of processes that no earlier one had.

    torchrun's store outlives the processes (torch 2.13), and addresses that dead ones have left in it must not be
    taken for those of their successors. So each rank says hello under a name that is new, the first one answers
    with the group's, and repeats that to whoever says hello later until it is heard.
    """
    mine, until = uuid.uuid4().hex, time.monotonic() + SECONDS_TO_MEET
    if rank > 0:
        store.set(f"hello/{rank}", mine)
        group: str = store.get(f"group of/{mine}").decode()
        store.set(f"heard/{group}/{rank}", "")
        return group
    for other in range(1, count):
        while not store.check([f"heard/{mine}/{other}"]):
            if store.check([f"hello/{other}"]):
                store.set(f"group of/{store.get(f'hello/{other}').decode()}", mine)
            if time.monotonic() > until:
                raise LostError(f"rank {other} of {count} has not come within {SECONDS_TO_MEET:.0f} seconds")
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return mine


def _leave() -> None:
    """End the group with its threads: one that still let go of a tensor while Python ends would abort the process."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _stay_on_this_machine() -> None:
    """Let gloo use the loopback, which needs no network and no name of the machine that resolves."""
    names = [name for _, name in socket.if_nameindex()] if hasattr(socket, "if_nameindex") else []
    if loopbacks := [name for name in names if name in ("lo", "lo0")]:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopbacks[0])
