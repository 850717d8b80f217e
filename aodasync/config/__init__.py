# SPDX-License-Identifier: MIT
"""Configuration: model, loader with positions, schema."""
