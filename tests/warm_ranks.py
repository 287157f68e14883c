"""A process that has imported torch and Megatron-core, and forks ranks: importing takes longer than a small run.

Started by tests.support, one for all tests of a process. Each line on stdin is a job: a module that is run as a
program, its arguments, how many ranks of a group it is to be (0: one process outside of any), the folder it runs in,
and where what it prints goes. The answer is a line with the exit status. A job begins as a fork of a process that has
imported and done nothing else, so jobs share nothing; neither do their ranks.
"""

import importlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from data_tools.processes import die_with_parent

LONGEST_JOB = 300
"""Seconds."""
IMPORTED = ("megatron_ext.cli.main", "megatron_ext.evaluation.answers", "megatron_ext.training.assemble")
"""They import what commands, evaluation and training need."""


def serve() -> None:
    """Answer jobs until stdin ends."""
    from megatron_ext import platform

    platform.prepare()
    for module in IMPORTED:
        importlib.import_module(module)

    for line in sys.stdin:
        print(_status_of(json.loads(line)), flush=True)


def _status_of(job: dict[str, Any]) -> int:
    """That of the rank that failed first; the others, which would wait for it, are killed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {"WORLD_SIZE": str(job["ranks"]), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    server, running, failed = os.getpid(), set(), 0
    for rank in range(job["ranks"] or 1):
        environment = group | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if job["ranks"] else {}
        if (process := os.fork()) == 0:
            _become(job, environment, parent=server)
        running.add(process)
    while running:
        process, status = os.wait()
        running.discard(process)
        if status and not failed:
            failed = os.waitstatus_to_exitcode(status)
            for other in running:
                os.kill(other, signal.SIGKILL)
    return failed


def _become(job: dict[str, Any], environment: dict[str, str], *, parent: int) -> NoReturn:
    """Run the job in this process, and end it."""
    status = 1
    try:
        die_with_parent(parent)
        signal.alarm(LONGEST_JOB)
        os.environ |= environment
        os.chdir(job["folder"])
        for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
            os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream.fileno())
        sys.argv = [job["module"], *job["arguments"]]
        runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    die_with_parent()
    serve()
