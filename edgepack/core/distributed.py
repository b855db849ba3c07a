"""Several processes under torchrun or `accelerate launch`: one writes, and the others wait. Does nothing with a single process."""

import os
from datetime import timedelta


def world_size() -> int:
    """The number of processes that run this command together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def processes_here() -> int:
    """Those of them that share this machine's cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_first() -> bool:
    """The one process that writes the cache, packs and reports."""
    return int(os.environ.get("RANK", "0")) == 0


def device_here() -> str:
    """torch's name of this process' GPU, or of the CPU where there is none."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def agreed(value: bool) -> bool:
    """The first process' value, in every process; all have to call it. Also a barrier."""
    if world_size() == 1:
        return value
    import torch
    import torch.distributed

    if not torch.distributed.is_initialized():
        # The others wait as long as the first one needs to run a teacher or to export.
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(days=7))
    shared = torch.tensor([float(value)], device=device_here())
    torch.distributed.broadcast(shared, src=0)
    return bool(shared.item())
