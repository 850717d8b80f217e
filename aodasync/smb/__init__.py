# SPDX-License-Identifier: MIT
"""The SMB2 protocol as tables: commands, NTSTATUS, errno."""
