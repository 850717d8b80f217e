# SPDX-License-Identifier: MIT
"""Where the name of a file that is opened can be had.

A file's id stands in the request, at a place of the protocol's. A CREATE's name does
not: ``SMB2_open_init(tcon, server, rqst, oplock, oparms, path)`` gives it a buffer of
its own, the second of ``rqst->rq_iov``.
"""

from __future__ import annotations

from collections.abc import Collection

from .btf import Btf, Kind
from .functions import Candidate, Choice, Target, argument_of

__all__ = ["FILES", "file_targets"]

FILES = "SMB2_open_init"
_REQUEST = "smb_rqst"
_VECTOR_BYTES = 16  # a pointer and a length


def file_targets(btf: Btf, exclude: Collection[str]) -> Choice:
    """What to attach to for names; nothing where they cannot be had, ids can."""
    found = argument_of(btf, FILES, _REQUEST, exclude)
    if isinstance(found, str):
        return Choice([], {}, [Candidate("paths", FILES, chosen=False, why=found)])
    function, position = found
    vectors = _vectors(btf)
    if vectors is None:
        why = f"{_REQUEST}.rq_iov is no array of pointers and lengths"
        return Choice([], {}, [Candidate("paths", FILES, chosen=False, why=why)])
    target = Target("paths", "create_begun", FILES, "fentry", function.id)
    known = Candidate("paths", FILES, chosen=True, why=f"argument {position} is the request")
    return Choice([target], {"PATH_RQST_ARG": position, "RQST_rq_iov": vectors}, [known])


def _vectors(btf: Btf) -> int | None:
    """Where a request has its buffers; None where that is not as it is known."""
    for entry in btf.find(_REQUEST, Kind.STRUCT):
        found = btf.member(entry, "rq_iov")
        if found and btf.points_to(found.type_id, "kvec"):
            vector = btf.strip(btf.strip(found.type_id).size_or_type)
            if btf.member(vector, "iov_base") and btf.size(vector.id) == _VECTOR_BYTES:
                return found.bit_offset // 8
    return None
