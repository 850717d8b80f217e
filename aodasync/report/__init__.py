# SPDX-License-Identifier: MIT
"""``aodasync report``: a bundle as one HTML page that needs nothing else.

The plots are SVG made here: one scatter plot needs two hundred lines, while a plotting
library is heavier than the agent, and what root runs should be little.
"""

from aodasync.report.page import render

__all__ = ["render"]
