# SPDX-License-Identifier: MIT
"""The live view: frames between agent and reader, and the figures a reader makes of them.

The agent sends rows as they are; all arithmetic is the reader's. So a live view
costs the agent a copy of each batch, and nothing without a reader.
"""
