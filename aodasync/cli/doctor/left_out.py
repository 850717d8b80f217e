# SPDX-License-Identifier: MIT
"""``aodasync doctor --retry``: actions that were left out after crashes may run again."""

from __future__ import annotations

from pathlib import Path

from aodasync.actions.crash_memory import retry
from aodasync.errors import NotPermittedError, RequirementError
from aodasync.host.state_file import STATE_DIR

__all__ = ["retry_actions"]


def retry_actions(directory: Path = STATE_DIR) -> str:
    """Let actions that were left out after crashes run again; returns a sentence.

    Raises:
        AodasyncError: the agent's state cannot be read or written.
    """
    try:
        names = retry(directory)
    except PermissionError:
        raise NotPermittedError(
            f"{directory}: only root may change it", hint="run it with sudo"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise RequirementError(f"{directory}: {error}", hint="remove the file") from None
    if not names:
        return "no action is left out"
    return f"run again from the agent's next start on: {', '.join(names)}"
