# SPDX-License-Identifier: MIT
"""Quick actions: each collects one file of evidence."""
