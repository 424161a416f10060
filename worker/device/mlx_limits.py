"""Bounds the memory of an mlx process to what Metal recommends. Only imported in processes that load a model."""

import mlx.core as mx


def bound_memory() -> None:
    """Lower mlx's memory limit on a Mac from 1.5 times the recommended working set to that size.

    Beyond its limit mlx frees cached buffers and waits for running work before it allocates more. Not set here, because
    mlx_lm does: the wired limit (its server and its training set it to the same size) and the cache of free buffers
    (cleared after each training step and regularly while serving). On CUDA and on a CPU mlx's own limit is below the
    memory already.
    """
    recommended = mx.device_info().get("max_recommended_working_set_size")
    if recommended is not None:
        mx.set_memory_limit(int(recommended))
