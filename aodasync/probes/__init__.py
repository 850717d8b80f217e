# SPDX-License-Identifier: MIT
"""Probing the kernel SMB client: types, plan, loader, ring, requests in flight."""
