# SPDX-License-Identifier: MIT
"""Child processes: how they are started, bounded, and stopped."""
