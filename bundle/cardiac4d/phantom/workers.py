# SPDX-License-Identifier: Apache-2.0
"""Processes that render sequences side by side, and that end with the one that started them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_in_processes(function: Callable[[Job], Result], jobs: Iterable[Job], num_workers: int) -> Iterator[Result]:
    """Yield what ``function`` returns for each job, in the order in which they are done.

    Args:
        function: of a module, so that a fresh process can import it.
        jobs: what each call takes.
        num_workers: processes at the same time.

    Raises:
        RuntimeError: if a process was killed. What ``function`` raises is raised here; jobs that wait are dropped.
    """
    with ProcessPoolExecutor(num_workers, get_context("spawn"), initializer=_end_with_parent) as pool:
        futures = [pool.submit(function, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process was killed, probably for want of memory; run again with fewer `num_workers`: "
                "finished sequences are kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Start a thread that ends this process as soon as its parent is gone.

    A pool tells its workers to stop. A parent that was killed cannot: they would finish the jobs they hold, beside
    those of a new run in the same folder, and then wait for ever.
    """
    Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # at once and from a thread: files appear under their names only when they are whole
