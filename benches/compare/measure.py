"""Loads one server with wrk, and counts what that cost it."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Work:
    """One kind of request, the same for every server that can do it."""

    kind: str
    url: str
    method: str = "GET"
    headers: tuple = ()
    body: str | None = None
    tokens: list | None = None
    flood: "Work | None" = None
    """What others do at the same time."""


@dataclass
class Measured:
    """One round of one kind of work."""

    requests: int
    per_second: float
    cpu: float
    """Microseconds of the server's own processor time, user and system, a request."""
    p50: float
    p99: float
    """Milliseconds."""
    memory: float
    """MiB of all its processes, shared pages counted once, after the load."""


class LoadFailed(Exception):
    """A server answered anything but success: its figures would mean nothing."""


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children") if children.exists() else []:
        for child in task.read_text().split():
            found += family(int(child))
    return found


def processor_time(pids: list[int]) -> float:
    """Seconds of processor time that they used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def lifetime(pid: int) -> float:
    """The same of a process with all that it has started, those that have ended too."""
    while True:
        try:
            ended = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[13:15]
            return processor_time(family(pid)) + sum(map(int, ended)) / TICK
        except FileNotFoundError:
            # One ended just now.
            continue


def precise_processor_time(pids: list[int]) -> float:
    """The same by the scheduler's own account, in nanoseconds, where the kernel keeps one."""
    try:
        tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        return processor_time(pids)


def memory(pids: list[int]) -> float:
    """MiB that they take, each shared page counted once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def wrk(command: list) -> dict:
    """Runs wrk with a script that tells what was measured."""
    report = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    told = [line for line in report.stdout.splitlines() if line.startswith("MEASURED ")]
    if not told:
        raise LoadFailed(report.stdout + report.stderr)
    told = json.loads(told[0].removeprefix("MEASURED "))
    if told["failed"] or not told["requests"]:
        raise LoadFailed(f"{told['failed']} of {told['requests']} requests failed\n{report.stdout}")
    return told


def command(work: Work, seconds: float, connections: int, folder: Path) -> list:
    """How wrk is told to send it."""
    body, tokens = "-", "-"
    if work.body is not None:
        body = folder / f"body of {work.kind}"
        body.write_text(work.body)
    if work.tokens is not None:
        tokens = folder / "tokens"
        tokens.write_text("\n".join(work.tokens) + "\n")
    headers = [part for header in work.headers for part in ("-H", header)]
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "load.lua"]
    return ["wrk", *options, *headers, work.url, "--", work.method, body, tokens]


def load(pid: int, work: Work, seconds: float, connections: int, folder: Path) -> Measured:
    """Sends `work` for `seconds` over so many connections."""
    sent = command(work, seconds, connections, folder)
    pids = family(pid)
    before = precise_processor_time(pids)
    ticks = processor_time(pids)
    told = wrk(sent)
    spent, ticks = precise_processor_time(pids) - before, processor_time(pids) - ticks
    # Of threads that have ended only the ticks tell.
    spent = ticks if spent < 0.9 * ticks else spent
    return Measured(
        requests=told["requests"],
        per_second=told["requests"] / (told["microseconds"] / 1e6),
        cpu=spent * 1e6 / told["requests"],
        p50=told["p50"] / 1e3,
        p99=told["p99"] / 1e3,
        memory=memory(pids),
    )
