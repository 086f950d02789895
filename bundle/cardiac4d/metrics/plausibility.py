# SPDX-License-Identifier: Apache-2.0
"""What contradicts physiology in the numbers of a case, and so speaks against its segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..conventions import LVM_VARIATION_TOLERANCE_PERCENT


def implausible(row: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a case, one sentence each; an empty list if nothing is.

    Args:
        row: from :func:`~cardiac4d.metrics.evaluate_case`.
    """
    found = []
    variation = row["lvm_variation_percent"]
    if variation > LVM_VARIATION_TOLERANCE_PERCENT:  # false for NaN
        found.append(
            f"the predicted myocardial volume varies by {variation:.0f} % of its mean over the sequence, more than "
            f"{LVM_VARIATION_TOLERANCE_PERCENT:.0f} %, though a heart conserves it: look at the volume curve before "
            "you use mass or ejection fraction"
        )
    return found
