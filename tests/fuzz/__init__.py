# SPDX-License-Identifier: MIT
"""Fuzzing: any input, within bounds of time and memory (``nox -s fuzz``)."""
