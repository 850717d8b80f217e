# SPDX-License-Identifier: MIT
"""The command line: arguments in, one call, text out."""
