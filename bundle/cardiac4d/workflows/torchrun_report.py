# SPDX-License-Identifier: Apache-2.0
"""Hand an error to torchrun, whose own report is the last thing on the screen and otherwise names no cause."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

_REPORT_FILE = "TORCHELASTIC_ERROR_FILE"


def tell_torchrun(message: str) -> None:
    """Leave ``message`` in the file from which torchrun reads why this process failed; does nothing without torchrun.

    The format is that of ``torch.distributed.elastic.multiprocessing.errors``. A report that is there already stays.

    Args:
        message: the sentence to show.
    """
    path = os.environ.get(_REPORT_FILE)
    if path and not Path(path).exists():
        report = {"message": message, "timestamp": int(time.time())}
        Path(path).write_text(json.dumps(report), encoding="utf-8")
