# SPDX-License-Identifier: Apache-2.0
"""Resample every study once, and train from what was written: an epoch then costs crops."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import monai
from monai.data import Dataset
from monai.transforms import apply_transform
from tqdm import tqdm

from .. import __version__
from ..conventions import CASE_ID_KEY
from ..errors import InputError
from ..io.claims import claimed, remove_abandoned
from ..io.fingerprint import Fingerprints
from ..io.places import RR_INTERVAL_KEY, listed_files
from ..io.prepared import SUFFIX, read_prepared, write_prepared
from ..transforms.description import describe
from .distributed import process_rank
from .input_errors import find_input_error, find_os_error
from .study_memory import StudyMemory

logger = logging.getLogger(__name__)

FORMAT = 1
"""Goes up when files of an older version must not be read any more."""

MEMORY_NAME = "fingerprints.json"
SHOWN = 3
"""So many studies that cannot be prepared stand in the error; the log has all of them."""


class PreparedDataset(Dataset):
    """A data set whose deterministic transforms run once per study, in this run or an earlier one.

    What they give is written to ``folder``, one file per study, under a name that follows from the content of the
    study's files, the fields of its entry, the transforms with their parameters, and the versions of this package and
    MONAI. A change of any of them gives another name, so the study is prepared again and the old file stays, for the
    experiments that still use it; whatever is in the folder can be removed at any time. Preparation that was
    interrupted, or killed, goes on with the studies that are missing. Several processes, of one training or of many,
    may share the folder: each prepares what no other one does, then waits for the rest.

    Items are mapped into memory, floating-point voxels in ``dtype``: a transform that cuts a crop reads the crop only.
    Cast to float32 after it. With ``memory`` they stay where that puts them, and ``transform`` gets them on its device.

    Args:
        data: entries, such as those of :func:`cardiac4d.io.load_datalist`.
        preparation: deterministic transforms, from an entry to an item.
        transform: random transforms, applied to every item anew; ``None`` for none.
        folder: where prepared studies are kept.
        dtype: ``float16`` or ``float32``, see :func:`cardiac4d.io.prepared.write_prepared`.
        num_workers: studies prepared at the same time, in threads; each needs the memory that loading it takes.
        progress: show a progress bar.
        memory: keeps all studies in memory, from the start.

    Raises:
        InputError: if studies cannot be prepared, when all others are; if the disk is full, or ``folder`` cannot be
            made or written to; if ``memory`` has not the room that it was allowed to take.
        TypeError: if a change of ``preparation`` could not be noticed, see
            :func:`cardiac4d.transforms.description.describe`.
        ValueError: if ``num_workers`` is less than 1.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        preparation: Callable[[Any], Any],
        transform: Callable[[Any], Any] | None = None,
        *,
        folder: str | PathLike[str],
        dtype: str = "float16",
        num_workers: int = 1,
        progress: bool = True,
        memory: StudyMemory | None = None,
    ) -> None:
        if num_workers < 1:
            raise ValueError(f"`num_workers` must be at least 1, got {num_workers}")
        super().__init__(data, transform)
        self.preparation, self.folder, self.dtype = preparation, Path(folder), dtype
        self.num_workers, self.progress = num_workers, progress
        _make(self.folder)
        self.files = self._names()
        self._prepare([index for index, file in enumerate(self.files) if not file.exists()])
        self.memory = memory
        if memory is not None:
            memory.fill(len(self.files), self._read, progress=progress)

    def _transform(self, index: int) -> Any:
        if self.memory is not None:
            with self.memory.study(index) as item:
                return self._transformed(item)
        return self._transformed(self._read(index))

    def _transformed(self, item: dict[str, Any]) -> Any:
        return item if self.transform is None else apply_transform(self.transform, item)

    def _read(self, index: int) -> dict[str, Any]:
        """A prepared study; one that is damaged, or was removed meanwhile, is prepared again."""
        try:
            return read_prepared(self.files[index])
        except InputError as error:
            logger.warning("%s It is prepared again now.", error)
        self.files[index].unlink(missing_ok=True)
        problem = self._prepare_one(index)
        if problem is not None:
            raise problem
        return read_prepared(self.files[index])

    def _names(self) -> list[Path]:
        """The file of each entry. Reading the studies to name them is what a first run waits for: so in threads too."""
        how = {"format": FORMAT, "versions": [__version__, monai.__version__], "dtype": self.dtype}
        described = json.dumps({**how, "preparation": describe(self.preparation)}, sort_keys=True)
        known = Fingerprints(self.folder / MEMORY_NAME)

        def name(entry: Mapping[str, Any]) -> Path:
            content = json.dumps([known.of(entry), _telling_names(entry)], sort_keys=True, default=repr)
            digest = hashlib.sha256(f"{described}\n{content}".encode()).hexdigest()
            return self.folder / f"{entry[CASE_ID_KEY]}-{digest[:20]}{SUFFIX}"

        with ThreadPoolExecutor(self.num_workers) as pool:
            files = list(pool.map(name, self.data))
        with suppress(OSError), claimed(known.memory, wait=True):  # a folder that is not writable may hold all studies
            known.save()
        return files

    def _prepare(self, missing: Sequence[int]) -> None:
        if not missing:
            logger.info("all %d studies are prepared: %s", len(self.files), self.folder)
            return
        start = process_rank() % len(missing)  # processes that share the work begin at different studies
        order = [*missing[start:], *missing[:start]]
        with ThreadPoolExecutor(self.num_workers) as pool:
            tried = self._watched(pool.map(partial(self._prepare_one, wait=False), order), len(order))
            problems = dict(zip(order, tried, strict=True))
            left = [i for i in order if problems[i] is None and not self.files[i].exists()]
            if left:
                logger.info("waiting for %d studies that another process prepares", len(left))
            problems |= zip(left, pool.map(self._prepare_one, left), strict=True)
        found = [problem for problem in problems.values() if problem is not None]
        if found:
            raise _failure(self.folder, found)
        size = sum(self.files[index].stat().st_size for index in missing)
        logger.info("prepared %d of %d studies, %.1f GB: %s", len(missing), len(self.files), size / 1e9, self.folder)

    def _watched(self, results: Iterable[Any], count: int) -> Iterable[Any]:
        return tqdm(results, "preparing studies", count, disable=not self.progress, leave=False)

    def _prepare_one(self, index: int, *, wait: bool = True) -> InputError | None:
        """Prepare a study unless another process has done so, or does so now; what is wrong with it, if anything.

        Args:
            index: of the entry.
            wait: until another process that prepares it has ended.
        """
        file = self.files[index]
        try:
            with claimed(file, wait=wait) as is_ours:
                if is_ours and not file.exists():
                    item: Any = apply_transform(self.preparation, dict(self.data[index]))
                    write_prepared(file, item, self.dtype)
        except Exception as error:
            refused = _refused_by_disk(self.folder, error)
            if refused is not None:
                raise refused from error
            problem = find_input_error(error)
            if problem is None:
                raise
            logger.error("%s cannot be prepared: %s", self.data[index][CASE_ID_KEY], problem)
            return problem
        return None


def _make(folder: Path) -> None:
    """Make the folder, or tidy it up; one that is there and cannot be written to may hold all that is needed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from error
    with suppress(OSError):
        removed = remove_abandoned(folder)
        if removed:
            logger.info("removed %d files that killed processes left half written in %s", removed, folder)


def _refused_by_disk(folder: Path, error: Exception) -> InputError | None:
    """What to tell where not the study but the disk of the prepared studies is the reason."""
    found = find_os_error(error)
    if found is None:
        return None
    if found.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(folder, "the disk is full", "free space, name another folder, or use a larger spacing")
    is_ours = found.filename is not None and Path(found.filename).parent == folder
    return _not_writable(folder, found) if found.errno == errno.EROFS or is_ours else None


def _not_writable(folder: Path, error: OSError) -> InputError:
    fix = "name a folder that can be written to (prepared_dir)"
    return InputError(folder, f"prepared studies cannot be kept there ({error.strerror})", fix)


def _telling_names(entry: Mapping[str, Any]) -> list[str]:
    """Names of files where they tell the times of the frames: elsewhere a file is known by what it holds."""
    places = [value for value in entry.values() if isinstance(value, Mapping) and RR_INTERVAL_KEY in value]
    return [file.name for place in places for file in listed_files(place)]


def _failure(folder: Path, problems: Sequence[InputError]) -> InputError:
    if len(problems) == 1:
        return problems[0]
    named = [str(problem).rstrip(".") for problem in problems[:SHOWN]]
    named += [f"{len(problems) - SHOWN} more, see the log"] if len(problems) > SHOWN else []
    problem = f"{len(problems)} studies cannot be prepared, all others are: {'; '.join(named)}"
    return InputError(folder, problem, "mend these files, or take them out of the data list")
