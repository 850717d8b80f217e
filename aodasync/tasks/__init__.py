# SPDX-License-Identifier: MIT
"""The supervised coroutines of the agent, one a module."""
