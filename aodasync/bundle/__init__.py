# SPDX-License-Identifier: MIT
"""Bundles: manifest, archive, names, retention."""
