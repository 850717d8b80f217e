# SPDX-License-Identifier: MIT
"""The verdict on a finding: figures, rules, the cause that they lead to."""
