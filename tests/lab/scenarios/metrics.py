#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Prometheus has the record's figures, the shipped alerts fire and clear
# lab: kernels=6.1 6.12
# lab: packages=prometheus prometheus-node-exporter
# lab: product
# lab: timeout=1500
"""The distribution's Prometheus and node_exporter, while a server is slow, then hangs."""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, "/lab")
import product
from product import OUT, SERVER, Agent, Rows, Workload, check, lab

from aodasync.smb.commands import command_name
from aodasync.smb.ntstatus import status_name

FILES, PLACE = Path("/lab/files"), Path("/run/lab/monitoring")
TEXTFILE = PLACE / "textfile/aodasync.prom"
RULES = PLACE / "deb/usr/share/doc/aodasync/contrib/prometheus/aodasync.rules.yml"
NODE, API = "127.0.0.1:9100", "127.0.0.1:9090"
DELAY_MS, BOUND_SEC = 600, 0.25
SLOW, HANG, NOT_USABLE = "latency", "hang", "SmbMountNotUsable"
# Written every 15 s, scraped and evaluated every 5 s.
SEEN_AFTER_SEC = 40
CONFIG = f"""\
global: {{scrape_interval: 5s, evaluation_interval: 5s}}
rule_files: [{RULES}]
scrape_configs: [{{job_name: node, static_configs: [{{targets: ["{NODE}"]}}]}}]
"""


def start_monitoring() -> list[subprocess.Popen[bytes]]:
    """Both programs, out of their packages; the rules out of ours."""
    TEXTFILE.parent.mkdir(parents=True)
    for package in (FILES / "packages").glob("prom*.deb"):
        lab(f"dpkg-deb -x {package} {PLACE}/programs")
    (package,) = (FILES / "product").glob("*.deb")
    lab(f"dpkg-deb -x {package} {PLACE}/deb")
    programs = PLACE / "programs/usr/bin"
    promtool("takes the shipped rules", "check", "rules", RULES)
    promtool("runs their tests", "test", "rules", RULES.with_suffix(".test.yml"))
    config = PLACE / "prometheus.yml"
    config.write_text(CONFIG)
    exporter = [str(programs / "prometheus-node-exporter"), f"--web.listen-address={NODE}"]
    exporter += ["--collector.disable-defaults", "--collector.textfile"]
    exporter += [f"--collector.textfile.directory={TEXTFILE.parent}"]
    server = [
        str(programs / "prometheus"),
        f"--config.file={config}",
        f"--web.listen-address={API}",
    ]
    server += [f"--storage.tsdb.path={PLACE}/data"]
    with (OUT / "monitoring.log").open("wb") as log:
        started = [subprocess.Popen(argv, stdout=log, stderr=log) for argv in (exporter, server)]
    product.wait_for("Prometheus", lambda: get("status/buildinfo"), 120)
    print("prometheus", get("status/buildinfo")["version"], flush=True)
    return started


def promtool(what: str, *words: str | Path) -> None:
    """One check: promtool ends with 0."""
    argv = [PLACE / "programs/usr/bin/promtool", *words]
    with (TEXTFILE if TEXTFILE.exists() else Path("/dev/null")).open("rb") as metrics:
        done = subprocess.run(argv, stdin=metrics, capture_output=True, text=True, check=False)
    check(f"promtool {what}", done.returncode == 0, (done.stdout + done.stderr).strip()[-300:])


def get(path: str, **parameters: str) -> Any:
    """The data of an answer of the query API; nothing while it is not up."""
    url = f"http://{API}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


def query(expression: str) -> dict[tuple[str, ...], float]:
    """Values by the values of their labels, in the order of the labels' names."""
    found = get("query", query=expression)["result"]
    return {
        tuple(value for _, value in sorted(series["metric"].items())): float(series["value"][1])
        for series in found
    }


def firing(alert: str, **labels: str) -> bool:
    """Whether an alert with these labels fires."""
    return any(
        each["state"] == "firing"
        and each["labels"]["alertname"] == alert
        and labels.items() <= each["labels"].items()
        for each in get("alerts")["alerts"]
    )


def wait_firing(
    what: str, alert: str, timeout_sec: float, *, ends: bool = False, **labels: str
) -> None:
    """One check: an alert fires, or no longer does."""
    begun = time.monotonic()
    try:
        product.wait_for(what, lambda: firing(alert, **labels) != ends, timeout_sec)
    except TimeoutError:
        check(what, ok=False, detail=get("alerts")["alerts"])
    else:
        check(what, ok=True, detail=f"after {time.monotonic() - begun:.0f} s")


def check_figures(rows: Rows, agent: Agent) -> None:
    """Six metrics, and those of episodes and bundles, against what the bundle and the log have."""
    requests = rows[(rows["kind"] == 0) & (rows["issued_ns"] != 0)]
    took_ms = product.latency_ms(requests)
    name = "aodasync_smb_request_duration_seconds"
    wanted = Counter((command_name(int(code)),) for code in requests["command"])
    found = query(f'sum by (command) ({name}_count{{server="{SERVER}"}})')
    check("requests by command are the record's", found == wanted, f"{wanted.total()} requests")
    (total,) = query(f"sum({name}_sum)").values()
    check("their time is", abs(total - took_ms.sum() / 1e3) < 0.01, f"{total:.3f} s")
    (within,) = query(f'sum({name}_bucket{{le="{BOUND_SEC}"}})').values()
    fast = int((took_ms <= BOUND_SEC * 1e3).sum())
    check(f"those of up to {BOUND_SEC} s are", within == fast, f"{fast}")
    errors = Counter((status_name(int(s)),) for s in requests["status"] if s)
    found = query("sum by (status) (aodasync_smb_responses_failed_total)")
    check("failures by status are", found == errors, dict(errors))
    (recorded,) = query("aodasync_events_recorded_total").values()
    check("what was recorded is", recorded == len(rows), len(rows))
    (oldest,) = query("max_over_time(aodasync_smb_request_oldest_seconds[1h])").values()
    slowest = took_ms.max() / 1e3
    check("the oldest request was the slowest", 0 <= slowest - oldest <= 20, f"{oldest}, {slowest}")
    began = Counter(event["anomaly"] for event in agent.events("anomaly_detected"))
    found = query("sum by (anomaly) (aodasync_episodes_total)")
    check("episodes are the log's", found == {(a,): n for a, n in began.items()}, dict(began))
    (written,) = query("aodasync_bundles_written_total").values()
    check("bundles are the log's", written == len(agent.events("bundle_written")), written)


def main() -> None:
    """Quiet, slow, standing still, quiet again."""
    monitoring = start_monitoring()
    latency = {"type": "Latency", "tool": "smbslower", "mode": "all", "acceptable_count": 3}
    anomalies = {
        SLOW: {**latency, "default_threshold_ms": DELAY_MS * 2 // 3},
        HANG: {"age_ms": 5000},
    }
    settings = product.quiet_config(metrics={"textfile": str(TEXTFILE)})
    settings["guardian"]["anomalies"].update(anomalies)
    agent = Agent("metrics", settings)
    agent.start()
    agent.wait("agent_ready", 120)
    work = Workload(processes=5, rate=2)
    product.wait_for("metrics", lambda: query("aodasync_attached == 1"), 60)
    check("nothing fires", not get("alerts")["alerts"], get("alerts")["alerts"])
    promtool("finds no fault with the metrics", "check", "metrics")
    check("the textfile is for all to read", TEXTFILE.stat().st_mode & 0o777 == 0o644)

    lab(f"lab_delay {DELAY_MS}ms")
    agent.wait("anomaly_detected", anomaly=SLOW)
    wait_firing(
        "a slow server fires an alert", "SmbEpisodeOpen", 120 + SEEN_AFTER_SEC, anomaly=SLOW
    )
    check("and no other", not firing(NOT_USABLE))
    lab("lab_clear_net; lab_server_stop")
    agent.wait("anomaly_detected", anomaly=HANG)
    wait_firing("one that stands still another", NOT_USABLE, 40 + SEEN_AFTER_SEC, server=SERVER)
    lab("lab_server_cont")
    wait_firing("which clears", NOT_USABLE, 30 + SEEN_AFTER_SEC, ends=True)
    wait_firing("as does the first", "SmbEpisodeOpen", 30 + SEEN_AFTER_SEC, ends=True, anomaly=SLOW)
    agent.wait("anomaly_ended", anomaly=HANG)

    work.stop()
    lab("lab_umount")
    product.wait_for("closed", lambda: not lab("ss -Htn state established dport = :445"), 30)
    rows = product.bundle_events(agent.snapshot())
    time.sleep(SEEN_AFTER_SEC)
    check_figures(rows, agent)
    check("the agent stops with status 0", agent.stop() == 0)
    for program in monitoring:
        program.terminate()
        program.wait(30)


main()
