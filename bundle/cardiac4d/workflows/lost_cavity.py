# SPDX-License-Identifier: Apache-2.0
"""Warn of frames in which a segmentation lost the cavity: they decide on the ejection fraction."""

from __future__ import annotations

import logging

from torch import Tensor

from ..conventions import LV

logger = logging.getLogger(__name__)


def warn_of_lost_cavity(case_id: str, pred: Tensor) -> None:
    """Warn if there are frames without any cavity: one of them among others makes an ejection fraction of 100 %.

    Args:
        case_id: name of the case.
        pred: ``(H, W, D, T)`` predicted label map.
    """
    present = (pred == LV).flatten(0, 2).any(dim=0).tolist()
    lost = [frame for frame, found in enumerate(present) if not found]
    if len(lost) == len(present):
        logger.warning("%s: no cavity in any frame: its volumes are 0 and it has no ejection fraction", case_id)
    elif lost:
        logger.warning(
            "%s: no cavity in frame%s %s of 0..%d: its end-systolic volume is 0 and its ejection fraction 100 %%, "
            "which is right only if the cavity closes entirely. Look at the segmentation.",
            *(case_id, "s" if len(lost) > 1 else "", ", ".join(map(str, lost)), len(present) - 1),
        )
