# SPDX-License-Identifier: MIT
"""What the command line's larger commands do, apart from its arguments."""
