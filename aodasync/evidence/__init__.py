# SPDX-License-Identifier: MIT
"""What passes from detection to collection: findings, triggers, recorded requests, samples."""
