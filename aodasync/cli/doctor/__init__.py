# SPDX-License-Identifier: MIT
"""``aodasync doctor``: what works on this host and what does not, and how to fix it.

It says what ``aodasync run`` would: by the same calls, with the same words and exit code.
"""
