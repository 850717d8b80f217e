# SPDX-License-Identifier: MIT
"""A real kernel, a real SMB client and a real Samba in a virtual machine, for the tests.

``python3 -m tests.lab --help`` says how to run it, ``README.md`` beside this file how it works.
"""
