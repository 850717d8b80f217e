# SPDX-License-Identifier: MIT
"""What is shipped in contrib/ fits the agent: programs, rules over its log, units, manifests."""

from __future__ import annotations

import configparser
import io
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aodasync.cli.arguments import parser
from aodasync.cli.check_config import check_config
from aodasync.config import load
from aodasync.config.files import DROP_INS
from aodasync.host import logs
from aodasync.host.capabilities import KEPT
from aodasync.host.instance_lock import RUN_DIR
from aodasync.host.state_file import CACHE_DIR, STATE_DIR
from aodasync.host.tracefs import TRACEFS

ROOT = Path(__file__).parents[2]
CONTRIB = ROOT / "contrib"


def _program(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


def _run(program: Path, tmp_path: Path, **facts: str) -> subprocess.CompletedProcess[str]:
    path = f"{tmp_path}:/usr/bin:/bin"
    return subprocess.run(
        [program], env={"PATH": path, **facts}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def rclone(tmp_path: Path) -> Path:
    """A remote that is a directory: ``copyto FILE NAME``."""
    script = f"""
remote={tmp_path}/remote; shift 4
mkdir -p "$(dirname "$remote/$2")" && cp "$1" "$remote/$2\""""
    _program(tmp_path, "rclone", script)
    _program(tmp_path, "sleep", '[ "$1" -lt 10 ]')
    return tmp_path / "remote"


def test_the_hook_copies_bundle_and_manifest(tmp_path: Path, rclone: Path) -> None:
    """To the names that docs/fleet.md asks, whatever the directory is called."""
    bundle = tmp_path / "a b;$(id)" / "aod_quick_1_latency.tar.zst"
    bundle.parent.mkdir()
    bundle.write_text("bundle")
    bundle.with_name("aod_quick_1_latency.json").write_text('{"bundle": "x"}')
    done = _run(CONTRIB / "hooks/upload-bundle", tmp_path, BUNDLE=str(bundle))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    host = os.uname().nodename
    target = rclone / "bundles:smb"
    assert (target / f"bundles/{host}/{bundle.name}").read_text() == "bundle"
    manifest = json.loads((target / f"manifests/{host}/aod_quick_1_latency.json").read_text())
    assert manifest == {"bundle": "x"}


def test_the_hook_fails_where_one_of_the_two_is_missing(tmp_path: Path, rclone: Path) -> None:
    """The agent's log says so then, and counts it."""
    (tmp_path / "aod_quick_1_hang.tar.zst").write_text("bundle")
    bundle = str(tmp_path / "aod_quick_1_hang.tar.zst")
    assert _run(CONTRIB / "hooks/upload-bundle", tmp_path, BUNDLE=bundle).returncode != 0
    assert list(rclone.glob("**/*.json")) == []
    assert _run(CONTRIB / "hooks/upload-bundle", tmp_path).returncode != 0


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 1", 1), ("exit 2", 1), ("exit 3", 2), ("kill -9 $$", 2), ("", 0)],
)
def test_node_problem_detector_has_its_exit_codes(tmp_path: Path, script: str, code: int) -> None:
    """A warning and a critical state are a problem; what is not known is none."""
    _program(tmp_path, "aodasync", f"echo OK - '3 mounts'; {script}")
    done = _run(CONTRIB / "node-problem-detector/npd-check", tmp_path)
    assert (done.returncode, done.stdout) == (code, "OK - 3 mounts\n")


def _line(event: str, **fields: object) -> str:
    out = io.StringIO()
    log = logs.configure(level="info", fmt="json", stream=out)
    log.warning(event, **fields)
    logs.flush(5)
    return out.getvalue().rstrip("\n")


def test_its_rules_match_the_lines_of_the_log() -> None:
    """Each event its rule, whole lines as it has them; no name in a line is taken for one."""
    rules = json.loads((CONTRIB / "node-problem-detector/aodasync-journal.json").read_text())
    forged = '", "event": "mount_unusable"'
    lines = {
        "SmbAnomaly": _line("anomaly_detected", server='n"as', anomaly="hang", count=3),
        "SmbMountNotUsable": _line("mount_unusable", mount_point=forged, why="no answer"),
        "SmbMountUsable": _line("mount_usable", mount_point="/mnt/\udcff", unusable_ms=1.5),
        "": _line("anomaly_ended", server=forged, who='"event": "anomaly_detected"'),
    }
    for reason, line in lines.items():
        found = [r["reason"] for r in rules["rules"] if re.search(r["pattern"] + r"\Z", line)]
        assert found == ([reason] if reason else []), line


def test_no_condition_is_set_that_a_log_could_not_clear() -> None:
    """Rules over a log only ever set one; the check alone says that mounts are usable again."""
    folder = CONTRIB / "node-problem-detector"
    journal = json.loads((folder / "aodasync-journal.json").read_text())
    assert journal["conditions"] == []
    assert {rule["type"] for rule in journal["rules"]} == {"temporary"}
    check = json.loads((folder / "aodasync-check.json").read_text())
    assert [c["type"] for c in check["conditions"]] == [r["condition"] for r in check["rules"]]


def _yaml(name: str) -> list[Any]:
    return list(yaml.safe_load_all((CONTRIB / name).read_text()))


def _is_fine(drop_in: str, tmp_path: Path, *options: str) -> bool:
    """What ``aodasync check-config`` says of it; its words go to the test's output."""
    (tmp_path / "50-site.yaml").write_text(drop_in)
    words = parser().parse_args(["check-config", *options, str(tmp_path / "50-site.yaml")])
    out, err = io.StringIO(), io.StringIO()
    code = check_config(words.file, as_json=words.json, out=out, err=err, strict=words.strict)
    print(err.getvalue())
    return code == 0


_COLLECTORS = ("opentelemetry/aodasync.yaml", "vector/aodasync.yaml")
_NEW = (*_COLLECTORS, "ansible/aodasync.yml", "kubernetes/daemonset.yaml")


@pytest.mark.parametrize("name", [*_NEW, "kubernetes/Containerfile"])
def test_its_files_name_commands_settings_and_events_that_exist(name: str) -> None:
    """In their remarks, too: ``aodasync WORD``, and words in the style of settings and events."""
    text = (CONTRIB / name).read_text()
    for command in re.findall(r"(?:`|-- )aodasync ([a-z-]+(?: import)?)", text):
        parser().parse_args([*command.split(), *(["FILE"] if " " in command else [])])
    readme = (ROOT / "README.md").read_text()
    for event in re.findall(r"\b(?:agent|anomaly|bundle|config|metrics)_[a-z_]+\b", text):
        assert f"| `{event}`" in readme or f"` `{event}`" in readme or f"`{event}` `" in readme, (
            event
        )


def test_the_collectors_read_what_the_agent_writes() -> None:
    """The unit's lines: their fields, all levels, and the time, with a fraction or without."""
    otel, vector = (_yaml(name)[0] for name in _COLLECTORS)
    receiver = otel["receivers"]["journald/aodasync"]
    assert otel["service"]["pipelines"]["logs/aodasync"]["receivers"] == ["journald/aodasync"]
    source = vector["sources"]["aodasync_journal"]
    assert receiver["units"] == source["include_units"] == ["aodasync.service"]
    assert (ROOT / "config" / receiver["units"][0]).is_file()

    line = json.loads(_line("anomaly_detected", anomaly="hang", episode=1, server="nas-1"))
    fields = {"event", "anomaly", "episode", "server"}
    for name in _COLLECTORS:
        remarks = " ".join(re.findall(r"^# (.*)$", (CONTRIB / name).read_text(), re.MULTILINE))
        named = re.search(r"fields[^:]*: (\w+), (\w+), (\w+), (\w+) and others", remarks)
        assert named is not None
        assert set(named.groups()) == fields <= line.keys()

    parse = receiver["operators"][0]
    assert parse["timestamp"]["parse_from"] == "attributes.timestamp"
    assert parse["severity"]["parse_from"] == "attributes.level"
    assert {"timestamp", "level"} <= line.keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line["timestamp"])
    known = {"debug", "info", "error", *parse["severity"]["mapping"].values()}
    assert known == logs._PRIORITIES.keys()

    transforms = vector["transforms"]
    assert {"line.timestamp", "parse_json(.message)"} <= set(
        re.findall(
            r"line\.timestamp|parse_json\(\.message\)", transforms["aodasync_events"]["source"]
        )
    )
    kept = json.loads(re.findall(r"\[.*\]", transforms["aodasync_warnings"]["condition"])[0])
    assert set(kept) == {level for level, number in logs._PRIORITIES.items() if number <= 4}
    names = {*vector["sources"], *transforms}
    for part in (*transforms.values(), *vector["sinks"].values()):
        assert set(part["inputs"]) <= names


def test_the_playbook_checks_what_it_installs(tmp_path: Path) -> None:
    """By a call that accepts its own drop-in and refuses a wrong one; a reload where one is due."""
    ((play,),) = _yaml("ansible/aodasync.yml")
    tasks = {next(key for key in task if "." in key): task for task in play["tasks"][2:]}
    copy = tasks["ansible.builtin.copy"]["ansible.builtin.copy"]
    assert Path(copy["dest"]).parent == DROP_INS
    assert Path(copy["dest"]).suffix == ".yaml"
    program, command, *options, file = shlex.split(copy["validate"])
    assert (program, command, file) == ("aodasync", "check-config", "%s")
    assert _is_fine(copy["content"], tmp_path, *options)
    assert not _is_fine("metrics: {textfil: /x.prom}", tmp_path, *options)
    assert not _is_fine("watcher: {actions: [dmsg]}", tmp_path, *options)
    _, *words = shlex.split(tasks["ansible.builtin.command"]["ansible.builtin.command"])
    assert parser().parse_args(words).strict
    assert [handler["name"] for handler in play["handlers"]] == [
        tasks["ansible.builtin.copy"]["notify"]
    ]
    assert "ExecReload=" in (ROOT / "config/aodasync.service").read_text()


def _service(key: str) -> list[str]:
    """All values of a setting of the unit that is shipped."""
    text = (ROOT / "config/aodasync.service").read_text()
    return " ".join(re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)).split()


def _daemon() -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod's specification and its container's."""
    *_, daemon = _yaml("kubernetes/daemonset.yaml")
    pod = daemon["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


def test_the_container_has_what_the_unit_has() -> None:
    """Capabilities, memory and time to stop; never the whole host by ``privileged``."""
    pod, container = _daemon()
    security = container["securityContext"]
    assert "privileged" not in security
    assert security["capabilities"]["drop"] == ["ALL"]
    added = security["capabilities"]["add"]
    assert sorted(f"CAP_{name}" for name in added) == sorted(_service("CapabilityBoundingSet"))
    assert sorted(added) == sorted(capability.name for capability in KEPT)
    assert [container["resources"]["limits"]["memory"]] == [
        f"{limit}i" for limit in _service("MemoryMax")
    ]
    assert [str(pod["terminationGracePeriodSeconds"])] == _service("TimeoutStopSec")
    _, *arguments = " ".join(_service("ExecStart")).split()
    assert container["args"] == arguments
    assert pod["hostPID"]
    image = (CONTRIB / "kubernetes/Containerfile").read_text()
    assert re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", image, re.MULTILINE) == [
        '["/usr/bin/aodasync"]',
        json.dumps(arguments),
    ]


def test_the_container_sees_the_host_where_the_agent_looks(tmp_path: Path) -> None:
    """Each mount has its volume, at a path of the agent's, written to where it writes."""
    pod, container = _daemon()
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert sorted(volumes) == sorted(mount["name"] for mount in mounts.values())
    for path, mount in mounts.items():
        host = volumes[mount["name"]].get("hostPath")
        assert host is None or host["path"] == path

    _, configuration, _ = _yaml("kubernetes/daemonset.yaml")
    ((file, drop_in),) = configuration["data"].items()
    assert volumes["config"]["configMap"]["name"] == configuration["metadata"]["name"]
    assert mounts.pop(str(DROP_INS / file))["subPath"] == file
    assert _is_fine(drop_in, tmp_path, "--strict")
    config = load(tmp_path / "50-site.yaml")

    written = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    output_dir = load(ROOT / "config/config.yaml").output_dir
    textfile = Path(config.metrics.textfile).parent
    assert written - {"/tmp"} == {  # noqa: S108  # the container's own
        str(path) for path in (RUN_DIR, STATE_DIR, CACHE_DIR, output_dir, textfile)
    }
    assert mounts.keys() - written == {
        str(TRACEFS[0]),
        "/var/log",
        "/etc/machine-id",
        "/var/lib/kubelet",
    }
    assert mounts["/var/lib/kubelet"]["mountPropagation"] == "HostToContainer"


def test_a_mount_that_is_not_usable_does_not_end_the_agent() -> None:
    """What the probe runs fails when no agent answers, and not by what it answers."""
    _, container = _daemon()
    program, *words = container["livenessProbe"]["exec"]["command"]
    assert (program, parser().parse_args(words).command) == ("aodasync", "status")


def test_the_image_has_what_the_package_recommends() -> None:
    """The installation leaves recommended packages out, so each is named."""
    image = (CONTRIB / "kubernetes/Containerfile").read_text()
    control = (ROOT / "packaging/debian/control").read_text()
    recommended = re.findall(r"Recommends:(.*?)\n\S", control, re.DOTALL)[0].split(",")
    assert "--no-install-recommends" in image
    for package in (*map(str.strip, recommended), "systemd"):
        assert re.search(rf" {re.escape(package)}\b", image), package


def _unit(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(CONTRIB / "systemd" / name)
    return unit


def test_units_watch_and_copy_where_bundles_are() -> None:
    """The directory of the shipped configuration, to the names that docs/fleet.md asks."""
    batches = str(load(ROOT / "config/config.yaml").output_dir / "batches")
    assert _unit("aodasync-upload.path")["Path"]["PathChanged"] == batches
    service = (CONTRIB / "systemd/aodasync-upload.service").read_text()
    copies = [line.split() for line in service.splitlines() if line.startswith("ExecStart=")]
    assert [(*each[2:4], *each[-2:]) for each in copies] == [
        ("--include", '"aod_quick_*.tar.zst"', batches, "bundles:smb/bundles/%H"),
        ("--include", '"aod_quick_*.json"', batches, "bundles:smb/manifests/%H"),
    ]
    guide = (ROOT / "docs/fleet.md").read_text()
    assert "\nbundles/HOST/" in guide
    assert "\nmanifests/HOST/" in guide


def test_no_number_of_bundles_ends_the_upload() -> None:
    """Starts are not limited, and a timer copies what a change did not."""
    assert _unit("aodasync-upload.service")["Unit"]["StartLimitIntervalSec"] == "0"
    assert _unit("aodasync-upload.timer")["Timer"]["OnCalendar"] == "hourly"
