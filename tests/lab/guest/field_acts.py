# SPDX-License-Identifier: MIT
"""What is done in each case of the field, and undone at its end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import product
from product import SERVER, SHARE_DIR, Agent, lab

SECOND_ADDRESS = "10.9.9.3"  # of the same server, on the same interface
IDLE_ADDRESS = "10.9.9.4"  # another one, whose connections are idle
NETNS_ADDRESS = "10.9.8.1"  # of the same server, for a client in another network namespace
_PYTHON = "/usr/bin/python3"
_CALM = "nosharesock,actimeo=0,echo_interval=60"  # hangs last: no reconnect for 3 minutes
_UNCACHED = f"{_CALM},nolease,cache=none"
_killed: list[subprocess.Popen[bytes]] = []
began: list[float] = []
"""When the faults of the case began."""
unmounted: list[float] = []
"""When the last mount of the case was gone."""


@contextmanager
def mounted(options: str = _UNCACHED, name: str = "field", source: str = "") -> Iterator[Path]:
    """A mount of the case's own, gone at the end however it went."""
    point = Path("/mnt", name)
    if source:
        point.mkdir(parents=True, exist_ok=True)
        login = "username=$LAB_USER,password=$LAB_PASSWORD"
        lab(f'mount -t cifs {source} {point} -o "{login},{options}"')
    else:
        lab(f'lab_mount "{options}" {point}')
    try:
        yield point
    finally:
        reap()
        lab(f"timeout 60 umount {point} || umount -l {point}")
        if " cifs " not in Path("/proc/mounts").read_text():
            unmounted.append(time.time())


def reap() -> None:
    """Wait for what was killed: it may have waited for a server that works again only now."""
    while _killed:
        _killed.pop().wait(120)


@contextmanager
def stopped() -> Iterator[None]:
    """The server stands still."""
    lab("lab_server_stop")
    began.append(time.time())
    try:
        yield
    finally:
        lab("lab_server_cont")


@contextmanager
def undone(command: str, undo: str) -> Iterator[None]:
    """A change by a line of bash, and its end."""
    lab(command)
    try:
        yield
    finally:
        lab(undo)


@contextmanager
def fault(command: str, undo: str) -> Iterator[None]:
    """The same, of a fault."""
    with undone(command, undo):
        began.append(time.time())
        yield


@contextmanager
def samba(*lines: str, share: str = "") -> Iterator[None]:
    """Samba with other settings in [global]."""
    quoted = " ".join(f"'{line}'" for line in lines)
    lab(f"lab_stop_samba; LAB_SMB_SHARE_LINES='{share}' lab_start_samba {quoted}")
    try:
        yield
    finally:
        lab("lab_stop_samba; lab_start_samba")


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Python, killed at the end, and waited for when its mount goes."""
    argv = [_PYTHON, "-c", code, *map(str, arguments)]
    child = subprocess.Popen(argv, stderr=subprocess.DEVNULL, stdin=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        _killed.append(child)


_STAT_LOOP = """
import os, sys, time
while True:
    try:
        os.stat(sys.argv[1])
    except OSError:
        pass
    time.sleep(float(sys.argv[2]))
"""
_READ = """
import os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
print(len(os.pread(file, 1 << 20, 0)))
"""
_READ_EACH = """
import pathlib, sys
for path in sys.argv[1:]:
    try:
        pathlib.Path(path).read_bytes()
    except OSError:
        continue
"""
_HOLD = """
import os, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(file, b"x" * 100, 0)
os.fsync(file)
time.sleep(600)
"""
_EXEC = """
import os, sys
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
os.write(file, b"x" * (1 << 20))
sys.stdin.readline()
os.execv("/bin/true", ["true"])
"""
_LOSE = """
import os, sys, time
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
for _ in range(500):
    os.write(file, b"x" * (1 << 17))
    time.sleep(0.1)
time.sleep(600)
"""


def _file(name: str, size: int = 1 << 20) -> Path:
    path = SHARE_DIR / name
    path.write_bytes(b"x" * size)
    path.chmod(0o666)
    return path


def login_refused(_agent: Agent) -> None:
    """The account's password changes, and the client has to log in again."""
    change = 'printf "{0}\\n{0}\\n" | smbpasswd -s $LAB_USER >/dev/null'
    with mounted("nosharesock,actimeo=0,echo_interval=2") as point:
        with (
            undone(change.format("another"), change.format("$LAB_PASSWORD")),
            running(_STAT_LOOP, point, 1),
        ):
            began.append(time.time())
            lab("lab_server_drop_connections")
            time.sleep(60)
        with running(_STAT_LOOP, point, 1):
            time.sleep(10)


def no_ticket(_agent: Agent) -> None:
    """A mount by Kerberos on a host that has no ticket: it fails before it logs in."""
    began.append(time.time())
    Path("/mnt/field").mkdir(parents=True, exist_ok=True)
    lab(f"mount -t cifs //{SERVER}/$LAB_SHARE /mnt/field -o sec=krb5,vers=3.1.1 || true")
    time.sleep(15)


def large_answers_lost(_agent: Agent) -> None:
    """What is larger than a segment does not arrive, and nothing else is sent."""
    _large_answers(beside=False)


def large_answers_lost_beside_small_ones(_agent: Agent) -> None:
    """The same, while small requests are answered."""
    _large_answers(beside=True)


def _large_answers(*, beside: bool) -> None:
    _file("large")
    drop = (
        "nft 'add table inet field; add chain inet field input { type filter hook input priority"
        " 0; }; add rule inet field input tcp sport 445 ip length > 700 drop'"
    )
    with mounted() as point:
        (point / "large").stat()
        with fault(drop, "nft delete table inet field"), running(_READ, point / "large"):
            if beside:
                with running(_STAT_LOOP, point, 0.2):
                    time.sleep(12)
            else:
                time.sleep(12)


@contextmanager
def _address(address: str) -> Iterator[None]:
    """The server has another address."""
    with undone(
        f'ip -n "$LAB_SERVER_NS" address add {address}/24 dev "$LAB_SERVER_IF"',
        f'ip -n "$LAB_SERVER_NS" address del {address}/24 dev "$LAB_SERVER_IF" || true',
    ):
        yield


@contextmanager
def _channels(echo_interval: int = 4) -> Iterator[Path]:
    hosts = Path("/etc/hosts")
    before = hosts.read_text()
    hosts.write_text(f"{before}{SERVER} nas\n")
    rss = "capability=RSS,speed=10000000000"
    interfaces = f'interfaces = "{SERVER};{rss}" "{SECOND_ADDRESS};{rss}"'
    options = "vers=3.1.1,nosharesock,multichannel,max_channels=4,actimeo=0,cache=none,nolease"
    try:
        with (
            _address(SECOND_ADDRESS),
            samba(interfaces, "bind interfaces only = no"),
            mounted(f"{options},echo_interval={echo_interval}", source="//nas/$LAB_SHARE") as point,
        ):
            time.sleep(3)  # the client adds channels in the background
            yield point
    finally:
        hosts.write_text(before)


def multichannel_stopped(_agent: Agent) -> None:
    """The server of a mount with several channels stands still."""
    with _channels(echo_interval=60) as point, running(_STAT_LOOP, point, 0.1):
        time.sleep(2)
        with stopped():
            time.sleep(8)


def multichannel_path_lost(_agent: Agent) -> None:
    """One of two paths is gone for a while."""
    drop = (
        "nft 'add table inet field; add chain inet field output { type filter hook output"
        f" priority 0; }}; add rule inet field output ip daddr {SECOND_ADDRESS} drop'"
    )
    with _channels() as point, running(_STAT_LOOP, point, 0.1):
        time.sleep(2)
        with fault(drop, "nft delete table inet field"):
            time.sleep(20)


def multichannel_restarted(_agent: Agent) -> None:
    """The server restarts."""
    with _channels() as point, running(_STAT_LOOP, point, 0.1):
        time.sleep(2)
        began.append(time.time())
        lab(
            "pkill -KILL '^smbd'; lab_wait_for 10 lab_server_gone; rm -f /run/samba/smbd.pid;"
            " lab_in_server env LD_PRELOAD=/lab/faults.so smbd -D"
        )
        time.sleep(15)


def lease_break_unanswered(agent: Agent) -> None:
    """Another client holds a lease, and does not answer the server that wants it back.

    Its smbd stands still: a client that does not even acknowledge is given up by Samba.
    """
    with _address(SECOND_ADDRESS), samba("bind interfaces only = no"):
        _lease_break_unanswered(agent)


def _lease_break_unanswered(agent: Agent) -> None:
    _file("leased", 4096)
    options = "vers=3.1.1,nosharesock,echo_interval=60,actimeo=0"
    source = f"//{SECOND_ADDRESS}/$LAB_SHARE"
    smbd = (
        f"lab_in_server ss -Hntp state established src {SECOND_ADDRESS}"
        " | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u"
    )
    with mounted(options, "holder", source) as holder, running(_HOLD, holder / "leased"):
        time.sleep(2)
        pid = int(lab(smbd))
        with mounted(options, "waiter") as waiter:
            (waiter / ".").stat()
            with (
                fault(f"kill -STOP {pid}", f"kill -CONT {pid}"),
                running(_HOLD, waiter / "leased"),
            ):
                time.sleep(16)
                agent.snapshot()


def idle_closes(agent: Agent) -> None:
    """A server drops idle connections all the time; then another one hangs."""
    _file("other")
    with _address(IDLE_ADDRESS), _address(SECOND_ADDRESS), samba("bind interfaces only = no"):
        source = f"//{SECOND_ADDRESS}/$LAB_SHARE"
        options = "vers=3.1.1,nosharesock,echo_interval=60"
        with mounted(options, "idle", f"//{IDLE_ADDRESS}/$LAB_SHARE") as idle:
            for _ in range(12):
                lab("lab_server_drop_connections")
                time.sleep(2)
                (idle / ".").stat()
                time.sleep(2)
            print("  closed:", len(agent.events("anomaly_detected")), "so far", flush=True)
            with mounted(f"vers=3.1.1,{_UNCACHED}", "second", source) as second:
                drop = (
                    "nft 'add table inet field; add chain inet field output { type filter hook"
                    " output priority 0; }; add rule inet field output ip daddr"
                    f" {SECOND_ADDRESS} drop'"
                )
                with (
                    fault(drop, "nft delete table inet field"),
                    running(_READ, second / "other"),
                ):
                    time.sleep(10)


def storage_times_out(_agent: Agent) -> None:
    """Reads end as the server's storage does, in a time-out, until it is well again.

    Linux 6.1 asks again, without end, for as long as the server answers so.
    """
    files = [_file(f"err_pread_110-{number}", 4096) for number in range(12)]
    with mounted() as point, running(_READ_EACH, *(point / file.name for file in files)) as reader:
        with suppress(subprocess.TimeoutExpired):
            reader.wait(10)
        for file in files:
            file.rename(file.with_name(file.name.replace("err_pread_110", "well")))
        reader.wait(60)


def short_of_memory(_agent: Agent) -> None:
    """Programs of the client wait for memory, and the server is silent for a while."""
    _file("small", 4096)
    group = Path("/sys/fs/cgroup/field")
    Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+memory")
    group.mkdir(exist_ok=True)
    (group / "memory.high").write_text(str(16 << 20))
    (group / "memory.max").write_text(str(128 << 20))
    hog = "exec tail /dev/zero"  # it keeps all of it: a line that does not end
    hogs = [
        subprocess.Popen(["sh", "-c", f"echo $$ > {group}/cgroup.procs; {hog}"]) for _ in range(3)
    ]
    try:
        with mounted() as point:
            time.sleep(6)
            with stopped(), running(_READ, point / "small"):
                time.sleep(8)
    finally:
        (group / "cgroup.kill").write_text("1")
        for each in hogs:
            each.wait(30)


def smb1(_agent: Agent) -> None:
    """A mount of the old protocol, used, and then hung."""
    with samba("server min protocol = NT1", "ntlm auth = yes"):
        lab(f"mount -t cifs //{SERVER}/$LAB_SHARE -o {_login('vers=1.0')} /mnt/smb")
        try:
            with running(_STAT_LOOP, "/mnt/smb", 0.05):
                time.sleep(25)
                with stopped():
                    time.sleep(8)
                time.sleep(5)
        finally:
            reap()
            lab("umount /mnt/smb")


def _login(options: str) -> str:
    return f"username=$LAB_USER,password=$LAB_PASSWORD,{options}"


@contextmanager
def _other_namespace() -> Iterator[Path]:
    with (
        undone(
            "ip netns add elsewhere; ip link add e0 netns elsewhere type veth peer name e1 netns"
            f' "$LAB_SERVER_NS"; ip -n "$LAB_SERVER_NS" address add {NETNS_ADDRESS}/24 dev e1;'
            ' ip -n "$LAB_SERVER_NS" link set e1 up; ip -n elsewhere link set e0 up;'
            " ip -n elsewhere address add 10.9.8.2/24 dev e0",
            'ip netns del elsewhere; ip -n "$LAB_SERVER_NS" link del e1 2>/dev/null || true',
        ),
        samba("bind interfaces only = no"),
    ):
        options = _login(f"vers=3.1.1,{_UNCACHED}")
        lab(
            "mkdir -p /mnt/elsewhere; nsenter --net=/run/netns/elsewhere mount -t cifs"
            f" //{NETNS_ADDRESS}/$LAB_SHARE /mnt/elsewhere -o {options}"
        )
        try:
            yield Path("/mnt/elsewhere")
        finally:
            reap()
            lab("umount /mnt/elsewhere || umount -l /mnt/elsewhere")


def other_namespace_delayed(_agent: Agent) -> None:
    """The network of a mount from another namespace becomes slow."""
    delay = "lab_in_server tc qdisc {} dev e1 root netem delay 1500ms"
    with _other_namespace() as point, running(_STAT_LOOP, point, 0.1):
        time.sleep(10)
        with fault(delay.format("add"), delay.format("del")):
            time.sleep(15)


def other_namespace_stopped(_agent: Agent) -> None:
    """Its server stands still."""
    with _other_namespace() as point, running(_STAT_LOOP, point, 0.1):
        time.sleep(5)
        with stopped():
            time.sleep(9)


def listed_one_by_one(agent: Agent) -> None:
    """600 files, each asked for after the other, over a network of 20 ms."""
    many = SHARE_DIR / "one-by-one"
    many.mkdir(mode=0o777, exist_ok=True)
    for number in range(600):
        (many / f"file-{number}").touch()
    with mounted("nosharesock,actimeo=0,echo_interval=60,nolease") as point:
        with undone("lab_delay 20ms", "lab_clear_net || true"):
            before = len(product.bundle_events(agent.snapshot()))
            for path in (point / "one-by-one").iterdir():
                path.stat()
        rows = product.bundle_events(agent.snapshot())
        product.check("listed one by one: its requests are recorded", len(rows) - before >= 500)


def exec_during_a_hang(agent: Agent) -> None:
    """A process execs and so flushes a dirty file to a server that is silent; one waits in D."""
    _file("other")
    with (
        mounted(_CALM) as point,
        mounted(_UNCACHED, "second") as second,
        running(_EXEC, point / "dirty") as execs,
    ):
        time.sleep(2)
        begun = len(agent.events("bundle_written"))
        with stopped(), running(_READ, second / "other"):
            assert execs.stdin is not None
            execs.stdin.write(b"\n")
            execs.stdin.flush()
            time.sleep(16)
            written = agent.events("bundle_written")[begun:]
            product.check("exec in a hang: its bundle is written while it lasts", len(written))


def data_lost(_agent: Agent) -> None:
    """Written data cannot reach a file that is gone, and nobody asks."""
    with mounted("nosharesock,echo_interval=2") as point:
        with running(_LOSE, point / "lost"):
            product.wait_for("it writes", (SHARE_DIR / "lost").exists, 30)
            with fault("lab_drop", "lab_clear_net || true"):
                time.sleep(12)
                (SHARE_DIR / "lost").unlink()
                time.sleep(3)
        time.sleep(20)
