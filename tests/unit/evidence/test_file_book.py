# SPDX-License-Identifier: MIT
"""Which file each request is about, as far as bounded memory goes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from aodasync.events import FILE_ID, EventArray, FileIdArray, Flag
from aodasync.evidence import file_book
from aodasync.evidence.file_book import MAX_REQUESTS, NO_FILE, NO_FILES, File, FileBook, Opening
from tests.builders import MS, SECOND, request, requests

ONES = (2**64 - 1,) * 2
THREAD = 42


def row(command: str, message_id: int, *, at: int = SECOND, flags: int = 0) -> EventArray:
    """A request of one thread on session 7, issued at that time."""
    return request(
        f"SMB2_{command}",
        released_ns=at + MS,
        message_id=message_id,
        session_id=7,
        pid=THREAD,
        flags=flags,
    )


def ids(*pairs: tuple[int, int]) -> FileIdArray:
    """File ids of rows."""
    return np.array(list(pairs), FILE_ID)


def opening(create: EventArray, name: str) -> Opening:
    """The name in a CREATE."""
    row = create[0]
    return Opening(
        int(row["connection_id"]),
        int(row["message_id"]),
        int(row["issued_ns"]),
        int(row["pid"]),
        name,
    )


def open_file(book: FileBook, name: str, message_id: int, file_id: tuple[int, int]) -> EventArray:
    """A file is opened; the CREATE's row."""
    create = row("CREATE", message_id)
    book.opening([opening(create, name)])
    book.ended(create, ids(file_id))
    return create


def test_a_file_keeps_its_name_while_it_is_open_and_a_while_after() -> None:
    """Requests that are asked about after the CLOSE still have it."""
    book = FileBook()
    create = open_file(book, "a/b", 1, (5, 6))
    read, close = row("READ", 2), row("CLOSE", 3)
    book.ended(requests(read, close), ids((5, 6), (5, 6)))
    assert book.of(requests(create, read, close)) == [File("a/b", 5, 6)] * 3
    assert book.of(requests(create, read, close), recent=True) == [File("a/b", 5, 6)] * 3


def test_an_id_that_is_used_again_is_another_file() -> None:
    """Whether the new name is known or not."""
    book = FileBook()
    open_file(book, "old", 1, (5, 6))
    open_file(book, "new", 2, (5, 6))
    write = row("WRITE", 3)
    book.ended(write, ids((5, 6)))
    assert book.of(write) == [File("new", 5, 6)]
    book.ended(row("CREATE", 4), ids((5, 6)))
    assert book.of(write) == [File("", 5, 6)]


def test_equal_ids_of_two_sessions_are_two_files() -> None:
    """Ids are a server's."""
    book = FileBook()
    open_file(book, "mine", 1, (5, 6))
    other = row("READ", 1, at=2 * SECOND)
    other["session_id"] = 8
    book.ended(other, ids((5, 6)))
    assert book.of(other) == [File("", 5, 6)]


def test_message_ids_recur() -> None:
    """After a reconnect: an older CREATE of the same id does not name the newer one."""
    book = FileBook()
    open_file(book, "before", 1, (5, 6))
    later = row("CREATE", 1, at=5 * SECOND)
    assert book.of(later) == [NO_FILE]


def test_the_parts_of_a_compound_belong_to_their_create() -> None:
    """Across message ids that a part takes several of; not to another thread's, or an old one."""
    book = FileBook()
    open_file(book, "found", 10, (5, 6))
    near = row("CLOSE", 14, flags=int(Flag.COMPOUND))
    alone = row("IOCTL", 15)
    late = row("CLOSE", 16, at=9 * SECOND, flags=int(Flag.COMPOUND))
    other = row("CLOSE", 17, flags=int(Flag.COMPOUND))
    other["pid"] = THREAD + 1
    rows = requests(near, alone, late, other)
    book.ended(rows, ids(*[ONES] * 4))
    assert book.of(rows) == [File("found", 5, 6), NO_FILE, NO_FILE, NO_FILE]


def test_requests_in_flight_have_a_file() -> None:
    """Until the next look at them."""
    book = FileBook()
    open_file(book, "open", 1, (5, 6))
    waiting = row("READ", 2)
    book.waiting(waiting, ids((5, 6)))
    assert book.of(waiting) == [File("open", 5, 6)]
    book.waiting(waiting[:0], ids())
    assert book.of(waiting) == [NO_FILE]


def test_the_oldest_requests_are_forgotten() -> None:
    """Of more than fit into the book, in one batch or in many, the last ones count."""
    book = FileBook(8)
    rows = requests(*(row("READ", number) for number in range(30)))
    known = [File("", 1, number + 1) for number in range(30)]
    for start, end in ((0, 5), (5, 6), (6, 30)):
        book.ended(rows[start:end], ids(*((1, n + 1) for n in range(start, end))))
    assert book.of(rows) == [NO_FILE] * 22 + known[22:]
    assert book.of(rows, recent=True) == [NO_FILE] * 22 + known[22:]


def test_a_recent_look_takes_the_last_requests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs the same however many are held."""
    monkeypatch.setattr(file_book, "_RECENT", 3)
    book = FileBook(8)
    rows = requests(*(row("READ", number) for number in range(12)))
    book.ended(rows, ids(*((1, 1) for _ in range(12))))
    assert [file is NO_FILE or file == NO_FILE for file in book.of(rows, recent=True)] == [
        *[True] * 9,
        *[False] * 3,
    ]


def test_a_full_book_is_small() -> None:
    """What thousands of opened files leave in memory is under two megabytes and a half."""
    book = FileBook()
    tracemalloc.start()
    try:
        for batch in range(100):
            creates = requests(*(row("CREATE", 100 * batch + n) for n in range(100)))
            names = (f"project-{n % 7}/directory/file-{n}.dat" for n in range(100))
            book.opening([opening(creates[n : n + 1], name) for n, name in enumerate(names)])
            book.ended(creates, ids(*((2**62 + 100 * batch + n, 2**61) for n in range(100))))
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 2_500_000
    assert book.forgotten > 7000


@pytest.mark.parametrize(("requests_kept", "names"), [(MAX_REQUESTS, 4096), (6000, 1228), (8, 256)])
def test_a_book_of_fewer_requests_keeps_fewer_names(requests_kept: int, names: int) -> None:
    """A name is of use as long as the record has its CREATE; some are always kept."""
    book = FileBook(requests_kept)
    creates = requests(*(row("CREATE", number) for number in range(6000)))
    for start in range(0, len(creates), 100):
        batch = creates[start : start + 100]
        book.opening([opening(batch[n : n + 1], "a") for n in range(len(batch))])
    kept = sum(file.name == "a" for file in book.of(creates))
    assert names <= kept <= names + names // 8


def test_names_of_any_characters_come_back() -> None:
    """Also halves of a pair of UTF-16, which a server may send."""
    book = FileBook()
    create = open_file(book, "größe/日本/\ud83d", 1, (5, 6))
    assert book.of(create) == [File("größe/日本/\ud83d", 5, 6)]


def test_too_many_open_files_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was opened first loses its name; closed ones go without a count."""
    monkeypatch.setattr(file_book, "_MAX_OPEN", 2)
    monkeypatch.setattr(file_book, "_MAX_CLOSED", 1)
    book = FileBook()
    for number in (1, 2, 3):
        open_file(book, f"file {number}", number, (number, number))
    assert book.forgotten == 1
    reads = requests(*(row("READ", 10 + number) for number in (1, 2, 3)))
    book.ended(reads, ids((1, 1), (2, 2), (3, 3)))
    assert [file.name for file in book.of(reads)] == ["", "file 2", "file 3"]
    closes = requests(row("CLOSE", 20), row("CLOSE", 21))
    book.ended(closes, ids((2, 2), (3, 3)))
    assert [file.name for file in book.of(reads)] == ["", "", "file 3"]
    assert book.forgotten == 1


def test_a_create_in_a_compound_is_no_open_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed in the same breath: many of them push no open file out."""
    monkeypatch.setattr(file_book, "_MAX_OPEN", 1)
    book = FileBook()
    open_file(book, "open", 1, (1, 1))
    stat = row("CREATE", 2, flags=int(Flag.COMPOUND))
    book.opening([opening(stat, "looked at")])
    book.ended(stat, ids((2, 2)))
    read = row("READ", 3)
    book.ended(read, ids((1, 1)))
    assert book.of(requests(read, stat)) == [File("open", 1, 1), File("looked at", 2, 2)]
    assert book.forgotten == 0


def test_where_nothing_is_kept_nothing_is_known() -> None:
    """A probe without files answers for none, and takes anything in."""
    rows = row("READ", 1)
    NO_FILES.ended(rows, ids((1, 1)))
    assert NO_FILES.of(rows) == [NO_FILE]
    assert NO_FILES.of(rows[:0]) == []
