"""What was measured, as a table for people, a page and a chart."""

import math
import os
import platform
import statistics
from pathlib import Path

PAGE = "docs/BENCHMARKS.md"
CHART = "docs/benchmarks.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def rows(results: dict, hello: str) -> list[dict]:
    """One row for each server and kind of work: medians of its rounds, and ratios round by round."""
    base = results[(hello, "hello")]
    jeton = {kind: rounds for (name, kind), rounds in results.items() if name.startswith("Jeton, SQLite, EdDSA")}
    made = []
    for (name, kind), rounds in results.items():
        ratios = sorted(told.cpu / one.cpu for told, one in zip(rounds, base))
        row = {"name": name, "kind": kind, "x_hello": statistics.median(ratios), "low": ratios[0], "high": ratios[-1]}
        for field in ("per_second", "cpu", "p50", "p99", "memory"):
            row[field] = statistics.median(getattr(told, field) for told in rounds)
        others = jeton.get(kind)
        row["x_jeton"] = statistics.median(a.per_second / b.per_second for a, b in zip(rounds, others)) if others else None
        made.append(row)
    return sorted(made, key=lambda row: (KINDS.index(row["kind"]) if row["kind"] in KINDS else 99, row["cpu"]))


KINDS = [
    "hello", "JWKS", "discovery", "key to JWT", "session to JWT", "forward auth", "refresh", "login", "JWKS during logins",
    "key to JWT during logins",
]

HEAD = ["work", "server", "requests/s", "CPU us", "x hello (spread)", "requests/s, x Jeton", "p50 ms", "p99 ms", "MiB"]


def cells(row: dict) -> list[str]:
    """A row as text; what was not measured is empty."""
    return [
        row["kind"], row["name"], f"{row['per_second']:,.0f}", f"{row['cpu']:.1f}" if row["cpu"] else "",
        f"{row['x_hello']:.2f} ({row['low']:.2f} to {row['high']:.2f})" if row["cpu"] else "",
        f"{row['x_jeton']:.2f}" if row["x_jeton"] else "", f"{row['p50']:.2f}",
        f"{row['p99']:.2f}" if row["p99"] else "", f"{row['memory']:.0f}" if row["memory"] else "",
    ]


def text(made: list[dict]) -> str:
    """The table for a terminal."""
    lines = [HEAD] + [cells(row) for row in made]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown(made: list[dict], contenders: list, options, versions: list[str]) -> str:
    """The part of the page that is written anew by every run."""
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    lines = [
        BEGIN, "",
        f"{options.date}: {model}, {os.cpu_count()} cores, Linux {platform.release()}; {options.rounds} rounds of "
        f"{options.seconds} s, {options.connections} connections, wrk on the same machine. "
        + f"Load of the machine before: {options.load_before:.1f}.", "",
        "; ".join(versions) + ".", "",
        f"![Server CPU per token]({Path(CHART).name})", "",
        "| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD),
    ]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in made]
    lines += ["", *processes(made, contenders)]
    lines += ["", "What each does more or less than Jeton:", ""]
    said = {}
    for contender in contenders:
        said.setdefault(contender.about, contender.name.split(",")[0])
    lines += [f"- **{name}**: {about}." for about, name in said.items() if name != "Jeton"]
    return "\n".join([*lines, "", END])


def processes(made: list[dict], contenders: list) -> list[str]:
    """What the processes themselves take, as a table. Each starts on a database that is there already."""
    loaded = {(row["name"], row["kind"]): row["memory"] for row in made}
    lines = ["| server | ready after ms | MiB idle | MiB after tokens out of a key | MB of the binary |", "|" + " --- |" * 5]
    for contender in (one for one in contenders if one.process):
        memory = loaded.get((contender.name, "key to JWT"))
        binary = getattr(contender, "binary", None)
        lines.append(
            f"| {contender.name} | {contender.started_in * 1e3:,.0f} | {contender.idle:.0f} | {f'{memory:.0f}' if memory else ''} "
            f"| {f'{Path(binary).stat().st_size / 1e6:.1f}' if binary else ''} |"
        )
    return lines


def write_page(root: Path, measured: str, marks=(BEGIN, END)):
    """Puts it between its marks on the page; what people wrote around it stays."""
    page = root / PAGE
    before, rest = page.read_text().split(marks[0], 1)
    page.write_text(before + measured + rest.split(marks[1], 1)[1])


def chart(made: list[dict]) -> str:
    """Bars: the server's CPU for one token out of a key or a session, the shorter the better, on a logarithmic scale."""
    bars = [row for row in made if row["kind"] in ("hello", "key to JWT", "session to JWT")]
    top, height, left, width = 34, 22, 270, 420
    most = max(row["cpu"] for row in bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 110}" height="{top + height * len(bars) + 10}" '
        'font-family="sans-serif" font-size="12">',
        '<text x="8" y="18" font-size="14">Server CPU for one token out of a key, microseconds (logarithmic)</text>',
    ]
    for number, row in enumerate(bars):
        y = top + number * height
        long = max(2, width * math.log10(max(row["cpu"], 1.01)) / math.log10(most))
        colour = "#2f6f4f" if row["name"].startswith("Jeton") else "#9a9a9a"
        parts += [
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{row["name"]}</text>',
            f'<rect x="{left}" y="{y + 3}" width="{long:.0f}" height="{height - 6}" fill="{colour}"/>',
            f'<text x="{left + long + 6:.0f}" y="{y + 15}">{row["cpu"]:.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
