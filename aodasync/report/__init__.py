# SPDX-License-Identifier: MIT
"""``aodasync report``: a bundle as one HTML page that needs nothing else.

The plots are drawn here, once as SVG, and by a script of our own that zooms and filters: no
plotting library has a brush, a heat map and a waterfall in less, and a page that is
opened in a mailbox should run little that nobody here has read.
"""

from aodasync.report.page import render

__all__ = ["render"]
