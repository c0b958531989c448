"""Runs commands one after the other and says what they cost: `python3 -I -S measured.py LOG`, the commands as JSON on
standard input, the answer as JSON on standard output.

A process of its own, because the kernel counts the memory of whoever starts a program as that program's own peak: this
one is small, and what it needs (about 10 MiB) is the least that is ever reported.
"""
import json
import os
import sys
import time

commands = json.load(sys.stdin)
cost = {"code": 0, "wall": 0.0, "cpu": 0.0, "memory": 0, "written": 0}
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
quiet = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
os.sync()
for command in commands:
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(process, 0)
    cost["wall"] += time.perf_counter() - start
    # those of all processes that it waited for, but of memory the largest one's
    cost["cpu"] += usage.ru_utime + usage.ru_stime
    cost["memory"] = max(cost["memory"], usage.ru_maxrss * 1024)
    cost["written"] += usage.ru_oublock * 512
    cost["code"] = os.waitstatus_to_exitcode(status)
    if cost["code"]:
        break
json.dump(cost, sys.stdout)
