# SPDX-License-Identifier: MIT
"""aodasync: always-on diagnostics for Linux SMB/CIFS clients."""

__all__ = ["__version__"]

__version__ = "0.1.0"
