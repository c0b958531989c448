"""The table and the plot of what was measured. They name the machine by its cores, memory and kernel, and nothing else
of it."""
import math
import os
import platform
from statistics import median

COLOURS = {"aptrepo": "#c0392b", "reprepro": "#2c5f8a", "aptly": "#4b8b3b"}


def machine():
    with open("/proc/meminfo") as file:
        kilobytes = int(next(line for line in file if line.startswith("MemTotal")).split()[1])
    release = platform.release().partition("-")[0]
    return f"{os.cpu_count()} cores, {kilobytes / (1 << 20):.0f} GiB of memory, Linux {release}"


def bytes_of(number):
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def medians(row):
    return {kind: median(run[kind] for run in row["runs"]) for kind in ("wall", "cpu", "memory", "written")}


def table(rows, where, versions):
    """The report in Markdown. The ratio says how many times as long as ours the faster of the others takes."""
    lines = [f"On {where}: {', '.join(versions)}.", "",
             "| workload | packages | tool | time | faster peer / aptrepo | CPU | peak memory | written | runs |", "|---|--:|---|--:|--:|--:|--:|--:|--:|"]
    groups = {}
    for row in rows:
        if "runs" in row:
            groups.setdefault((row["workload"], row["what"], row["size"]), {})[row["tool"]] = row
    for (workload, what, size), tools in groups.items():
        found = {name: medians(row) for name, row in tools.items()}
        peers = [cost["wall"] for name, cost in found.items() if name != "aptrepo"]
        for name, cost in found.items():
            ratio = f"**{min(peers) / cost['wall']:.1f}**" if name == "aptrepo" and peers else ""
            label = f"{'upload' if workload == 'plot' else workload}: {what}"
            lines.append(f"| {label} | {size:,} | {name} | {cost['wall']:.2f} s | {ratio} | {cost['cpu']:.2f} s | "
                         f"{bytes_of(cost['memory'])} | {bytes_of(cost['written'])} | {len(tools[name]['runs'])} |")
    reading = [row for row in rows if row["workload"] == "W9"]
    if reading:
        lines += ["", "| W9: readers while it publishes | packages | uploads | failed of `apt-get update` | bad of index reads |", "|---|--:|--:|--:|--:|"]
        for row in reading:
            lines.append(f"| {row['tool']} | {row['size']:,} | {row['published']} | {row['updates_failed']} of {row['updates']} | "
                         f"{row['reads_bad']} of {row['reads']} |")
    return "\n".join(lines) + "\n"


def plot(rows):
    """The time of one upload against the size of the distribution, both logarithmic, as SVG."""
    lines = {}
    for row in rows:
        lines.setdefault(row["tool"], []).append((row["size"], medians(row)["wall"]))
    points = [point for line in lines.values() for point in line]
    left, top, width, height = 70, 30, 520, 320

    def decades(values):
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return low, max(high, low + 1)
    across, up = decades([size for size, _ in points]), decades([seconds for _, seconds in points])

    def x(size):
        return left + width * (math.log10(size) - across[0]) / (across[1] - across[0])

    def y(seconds):
        return top + height * (1 - (math.log10(seconds) - up[0]) / (up[1] - up[0]))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 90} {top + height + 60}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{left}" y="18" font-size="14">Time of one upload by the size of the distribution</text>']
    for power in range(across[0], across[1] + 1):
        at = x(10 ** power)
        out.append(f'<path d="M{at:.1f} {top}V{top + height}" stroke="#ddd"/><text x="{at:.1f}" y="{top + height + 18}" text-anchor="middle">{10 ** power:,}</text>')
    for power in range(up[0], up[1] + 1):
        at = y(10 ** power)
        out.append(f'<path d="M{left} {at:.1f}H{left + width}" stroke="#ddd"/><text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10 ** power:g} s</text>')
    out.append(f'<text x="{left + width / 2}" y="{top + height + 42}" text-anchor="middle">packages</text>')
    for tool, line in lines.items():
        line.sort()
        path = " ".join(f"{x(size):.1f},{y(seconds):.1f}" for size, seconds in line)
        colour = COLOURS[tool]
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x(size):.1f}" cy="{y(seconds):.1f}" r="3" fill="{colour}"/>' for size, seconds in line]
        out.append(f'<text x="{x(line[-1][0]) + 8:.1f}" y="{y(line[-1][1]) + 4:.1f}" fill="{colour}">{tool}</text>')
    return "\n".join(out) + "\n</svg>\n"
