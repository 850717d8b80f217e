# SPDX-License-Identifier: MIT
"""What must not leave the host: secrets are redacted, names and addresses get aliases."""
