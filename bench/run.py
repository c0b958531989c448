#!/usr/bin/env python3
"""Measures aptrepo beside reprepro and aptly: all in one run, the tools in turn, each run on a fresh copy of the same
state. `make bench` calls it; docs/benchmarks.md says what each workload is and how to read the table.

The state is in a scratch directory that is removed at the end. Results go to
bench/results/: the table, the plot, and every single measurement as a line of JSON.
"""
import argparse
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import packages
import report
import serving
from tools import Aptly, Key, Reprepro

HERE = os.path.dirname(os.path.abspath(__file__))
PLOT_SIZES = [100, 1_000, 10_000, 60_000, 200_000]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def measure(commands, environment, log):
    """Runs the commands one after the other; gives their wall time and CPU time in seconds, the memory of the largest
    process and the bytes written to the page cache by all processes."""
    meter = [sys.executable, "-I", "-S", os.path.join(HERE, "measured.py"), log]
    done = subprocess.run(meter, env=environment, input=json.dumps(commands), stdout=subprocess.PIPE, text=True, check=True)
    cost = json.loads(done.stdout)
    if cost.pop("code"):
        with open(log, "rb") as said:
            tail = said.read()[-2000:].decode(errors="replace")
        raise SystemExit(f"failed: {' '.join(commands[0])[:300]}\n{tail}")
    return cost


class Bench:
    """The tools, what they are measured on, and one method for each workload. `stack` ends what is begun here."""

    def __init__(self, options, scratch, stack):
        self.size, self.runs, self.most, self.scratch = options.packages, options.runs, options.plot, scratch
        self.server = serving.Nginx(scratch)
        stack.callback(self.server.close)
        # a short path: GnuPG's sockets are in it
        self.key = Key(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench", dir="/tmp", ignore_cleanup_errors=True)))
        stack.callback(self.key.close)
        self.tools = [Reprepro("aptrepo", os.path.abspath(options.aptrepo), self.key), Reprepro("reprepro", "reprepro", self.key),
                      Aptly("aptly", self.key)]
        self.rows, self.log = [], os.path.join(scratch, "log")

    # what is measured on

    def upstream(self, size, number=0):
        """The URL of an upstream of that size, in the night of that number."""
        directory = os.path.join(self.scratch, f"upstream-{size}")
        if not os.path.exists(f"{directory}/night-{number}"):
            say(f"making {size} packages, night {number}")
            packages.night(directory, size, number, self.key.sign)
        current = f"{directory}/current"
        if os.path.lexists(current):
            os.unlink(current)
        os.symlink(f"night-{number}", current)
        return f"{self.server.url}/upstream-{size}/current"

    def mirror_of(self, tool, size):
        return os.path.join(self.scratch, f"mirror-{tool.name}-{size}")

    def work_of(self, tool):
        return os.path.join(self.scratch, f"work-{tool.name}")

    def mirror(self, tool, size):
        """A finished first mirror, made once."""
        base = self.mirror_of(tool, size)
        if not os.path.exists(f"{base}.done"):
            url = self.upstream(size)
            shutil.rmtree(base, ignore_errors=True)
            measure(tool.first(base, url), self.key.environment, self.log)
            self.finish(tool, base, size)
        return base

    def finish(self, tool, base, size):
        """Notes that a mirror is whole, if it is: who does not publish everything must not win."""
        with open(f"{tool.public(base)}/dists/bench/main/binary-amd64/Packages", "rb") as file:
            published = sum(line.startswith(b"Package: ") for line in file)
        if published != size:
            raise SystemExit(f"{tool.name} has published {published} of {size} packages")
        open(f"{base}.done", "w").close()

    def copy(self, tool, size):
        """A copy of that mirror to work on; the pool's files, which no tool changes, are linked."""
        base, work = self.mirror(tool, size), self.work(tool)
        for name in os.listdir(base):
            pool = name in ("pool", "public")
            subprocess.run(["cp", "-al" if pool else "-a", f"{base}/{name}", f"{work}/{name}"], check=True)
        dists = "public/dists"
        if os.path.isdir(f"{work}/{dists}"):
            shutil.rmtree(f"{work}/{dists}")
            subprocess.run(["cp", "-a", f"{base}/{dists}", f"{work}/{dists}"], check=True)
        if tool.name == "aptly":
            tool.configure(work)
        return work

    def work(self, tool):
        """An empty directory. What was there is only moved away: removing it would disturb what is measured next."""
        work = self.work_of(tool)
        if os.path.exists(work):
            trash = os.path.join(self.scratch, "trash")
            os.makedirs(trash, exist_ok=True)
            os.rename(work, os.path.join(trash, str(time.monotonic_ns())))
        os.makedirs(work)
        return work

    # measuring

    def compare(self, workload, what, size, prepare):
        """Measures all tools in turn, RUNS times. `prepare(tool, run)` gives the commands."""
        costs = {tool.name: [] for tool in self.tools}
        for run in range(self.runs):
            turn = run % len(self.tools)
            for tool in self.tools[turn:] + self.tools[:turn]:
                commands = prepare(tool, run)
                costs[tool.name].append(measure(commands, self.key.environment, self.log))
        for name, measured in costs.items():
            row = {"workload": workload, "what": what, "size": size, "tool": name, "runs": measured}
            self.rows.append(row)
            say(f"{workload} {name} {size}: " + " ".join(f"{cost['wall']:.2f}" for cost in measured) + " s")

    def upload(self, number):
        return packages.upload(os.path.join(self.scratch, "upload"), number)

    def w1(self):
        url = self.upstream(self.size)
        self.compare("W1", "first mirror", self.size, lambda tool, _: tool.first(self.work(tool), url))
        for tool in self.tools:
            base = self.mirror_of(tool, self.size)
            if not os.path.exists(base):
                os.rename(self.work_of(tool), base)
                self.finish(tool, base, self.size)

    def w2(self):
        bases = {tool.name: self.copy(tool, self.size) for tool in self.tools}
        self.upstream(self.size)
        self.compare("W2", "nightly update, nothing new", self.size,
                     lambda tool, run: tool.nightly(bases[tool.name], f"{run}-again"))

    def w3(self):
        def prepare(tool, _):
            self.upstream(self.size, 0)
            base = self.copy(tool, self.size)
            self.upstream(self.size, 1)
            return tool.nightly(base, 1)
        self.compare("W3", "nightly update, 1 % is new", self.size, prepare)
        self.upstream(self.size, 0)

    def includes(self, workload, what, size):
        bases = {tool.name: self.copy(tool, size) for tool in self.tools}
        for tool in self.tools:
            tool.take_uploads(bases[tool.name])
        self.compare(workload, what, size, lambda tool, run: tool.include(bases[tool.name], self.upload(run)))

    def w4(self):
        for size in sorted({PLOT_SIZES[0], self.size}):
            self.includes("W4", "one upload", size)

    def w5(self):
        for size in sorted({PLOT_SIZES[0], self.size}):
            url = self.upstream(size)
            bases = {tool.name: self.copy(tool, size) for tool in self.tools}
            for tool in self.tools:
                tool.add_second(bases[tool.name], url)

            def prepare(tool, run):
                base = bases[tool.name]
                measure(tool.include(base, self.upload(run)), self.key.environment, self.log)
                return tool.copysrc(base, "bench-app")
            self.compare("W5", "copy one source to production", size, prepare)

    def w6(self):
        url = self.upstream(self.size)
        bases = {tool.name: self.copy(tool, self.size) for tool in self.tools}
        for tool in self.tools:
            tool.prepare_export(bases[tool.name], url)
        self.compare("W6", "export everything", self.size, lambda tool, _: tool.export(bases[tool.name]))

    def w7(self):
        count = min(1000, self.size)
        directory = os.path.join(self.scratch, "debs")
        debs = []
        for number in range(count):
            package = packages.Package(number)
            debs.append(os.path.join(directory, package.file))
            packages.write(debs[-1], package.deb())

        def prepare(tool, _):
            base = self.work(tool)
            tool.empty(base)
            return tool.includedeb(base, debs)
        self.compare("W7", "packages into an empty distribution", count, prepare)

    def w8(self):
        size = min(2000, self.size)
        path = self.upstream(size)[len(self.server.url):]
        with serving.Delay(self.server.port, 0.030) as delay:
            self.compare("W8", "first mirror, 30 ms away", size, lambda tool, _: tool.first(self.work(tool), delay.url + path))

    def w9(self):
        size = min(10_000, self.size)
        for tool in self.tools:
            base = self.copy(tool, size)
            tool.take_uploads(base)
            url = f"{self.server.url}/{os.path.relpath(tool.public(base), self.scratch)}"
            readers = Readers(url, self.key.public, self.scratch)
            published, end = 0, time.monotonic() + 10 * self.runs
            while time.monotonic() < end:
                measure(tool.include(base, self.upload(published)), self.key.environment, self.log)
                published += 1
            row = {"workload": "W9", "what": "readers while it publishes", "size": size, "tool": tool.name,
                   "published": published, **readers.stop()}
            self.rows.append(row)
            say(f"W9 {row}")

    def plot(self):
        for size in PLOT_SIZES:
            if size <= self.most:
                self.includes("plot", "one upload", size)


class Readers:
    """Two clients of an archive that changes: `apt-get update`, and one that fetches InRelease and the index that it
    names, and compares the digest."""

    def __init__(self, url, key, scratch):
        self.url, self.key, self.directory = url, key, os.path.join(scratch, "client")
        self.counts = {"updates": 0, "updates_failed": 0, "reads": 0, "reads_bad": 0}
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.repeat, args=(step,)) for step in (self.update, self.read)]
        for thread in self.threads:
            thread.start()

    def repeat(self, step):
        while not self.ended.is_set():
            step()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        return self.counts

    def update(self):
        root = self.directory
        shutil.rmtree(root, ignore_errors=True)
        for name in ("state/lists/partial", "cache/archives/partial", "etc/trusted.d", "log"):
            os.makedirs(f"{root}/{name}")
        packages.write(f"{root}/status", "")
        packages.write(f"{root}/etc/sources.list", f"deb [signed-by={self.key}] {self.url} bench main\n")
        packages.write(f"{root}/apt.conf", f'Dir "{root}"; Dir::State "{root}/state"; Dir::State::status "{root}/status"; '
                       f'Dir::Cache "{root}/cache"; Dir::Etc "{root}/etc"; Dir::Etc::Parts "/dev/null"; '
                       f'Dir::Etc::SourceParts "/dev/null"; Dir::Etc::TrustedParts "{root}/etc/trusted.d"; '
                       f'Dir::Log "{root}/log"; APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }}; Acquire::Languages "none"; '
                       'APT::Sandbox::User ""; Acquire::Retries "0"; APT::Update::Error-Mode "any"; Acquire::http::Proxy "DIRECT";\n')
        environment = dict(os.environ, LC_ALL="C", APT_CONFIG=f"{root}/apt.conf")
        done = subprocess.run(["apt-get", "update"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.counts["updates"] += 1
        self.counts["updates_failed"] += bool(done.returncode or re.search(r"^(E:|W: Fail|Err)", done.stdout, re.M))

    def read(self):
        host, _, path = self.url.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=30)

        def get(name):
            connection.request("GET", f"/{path}/dists/bench/{name}")
            answer = connection.getresponse()
            return answer.status, answer.read()
        good, (status, release) = False, get("InRelease")
        found = re.search(rb"^ ([0-9a-f]{64}) +\d+ main/binary-amd64/Packages\.gz$", release, re.M)
        if status == 200 and found:
            digest = found[1].decode()
            by_hash = b"Acquire-By-Hash: yes" in release
            status, index = get("main/binary-amd64/" + (f"by-hash/SHA256/{digest}" if by_hash else "Packages.gz"))
            good = status == 200 and hashlib.sha256(index).hexdigest() == digest
        connection.close()
        self.counts["reads"] += 1
        self.counts["reads_bad"] += not good


def main():
    workloads = [f"w{number}" for number in range(1, 10)] + ["plot"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--aptrepo", required=True, help="the program to measure, built with --release")
    parser.add_argument("--packages", type=int, default=60_000, metavar="N", help="the size of the distribution (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured (default %(default)s)")
    parser.add_argument("--plot", type=int, default=PLOT_SIZES[-1], metavar="N", help="up to which size the plot goes (default %(default)s)")
    parser.add_argument("--scratch", default=tempfile.gettempdir(), metavar="DIR", help="where there is room for the packages (default %(default)s)")
    parser.add_argument("--results", default=os.path.join(HERE, "results"), metavar="DIR")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"any of {' '.join(workloads)} (default: all)")
    options = parser.parse_args()
    unknown = set(options.workloads) - set(workloads)
    if unknown:
        parser.error(f"no such workload: {' '.join(sorted(unknown))}")
    if min(options.packages, options.plot) < PLOT_SIZES[0] or options.runs < 1:
        parser.error(f"at least {PLOT_SIZES[0]} packages and one run")
    temporary = tempfile.TemporaryDirectory(prefix="aptrepo-bench-", dir=options.scratch, ignore_cleanup_errors=True)
    with temporary as scratch, contextlib.ExitStack() as stack:
        bench = Bench(options, scratch, stack)
        for workload in options.workloads or workloads:
            getattr(bench, workload)()
        # before the scratch directory goes: removing so many files takes minutes
        versions = [subprocess.run(command, capture_output=True, text=True, check=False) for command in
                    ([options.aptrepo, "--version"], ["reprepro", "--version"], ["aptly", "version"])]
        found = [re.search(r"\d+[.][^\s+]+", done.stdout + done.stderr) for done in versions]
        versions = [f"{tool.name} {version[0] if version else '(unknown)'}" for tool, version in zip(bench.tools, found)]
        os.makedirs(options.results, exist_ok=True)
        table = report.table(bench.rows, report.machine(), versions)
        outputs = {"benchmarks.md": table, "measurements.jsonl": "".join(json.dumps(row) + "\n" for row in bench.rows)}
        plotted = [row for row in bench.rows if row["workload"] == "plot"]
        if plotted:
            outputs["upload.svg"] = report.plot(plotted)
        for name, content in outputs.items():
            with open(os.path.join(options.results, name), "w") as file:
                file.write(content)
        print(table)


if __name__ == "__main__":
    main()
