# SPDX-License-Identifier: MIT
"""Detection: pure functions over arrays of events and a clock."""
