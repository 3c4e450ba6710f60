"""A Work Queue manager as a process: tasks come in as JSON lines, results go out as JSON lines.

Run with the system's Python, which has the binding: ``/usr/bin/python3 manager.py PORT PASSWORD``,
where port 0 is any and the password is a file. It says ``{"port": …}`` first, then
``{"tag": …, "output": …, "result": …, "code": …}`` for each task, and ``{"stats": {…}}`` at
least once a second when something changed. A line in is ``[[tag, command], …]``. It ends with its
input.
"""

import json
import os
import select
import sys

import work_queue  # type: ignore[import-not-found]

STATS = ("tasks_submitted", "tasks_dispatched", "tasks_done", "workers_joined", "workers_lost")


def say(**what: object) -> None:
    """Write one line, in one piece."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Take tasks and give results until the input ends."""
    queue = work_queue.WorkQueue(port=int(sys.argv[1]))
    queue.specify_password_file(sys.argv[2])
    # A worker that vanishes without a word is missed after so many seconds, not after minutes.
    queue.tune("keepalive-interval", 30)
    queue.tune("keepalive-timeout", 20)
    say(port=queue.port)
    pending = b""
    told: dict[str, int] = {}
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], 0)
        if ready:
            chunk = os.read(sys.stdin.fileno(), 1 << 20)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                for tag, command in json.loads(line):
                    task = work_queue.Task(command)
                    task.specify_tag(tag)
                    task.specify_cores(1)
                    task.specify_memory(8)
                    task.specify_disk(1)
                    queue.submit(task)
        task = queue.wait(1)
        if task is not None:
            output = (task.output or "").strip()
            say(tag=task.tag, output=output, result=task.result, code=task.return_status)
        stats = {name: getattr(queue.stats, name) for name in STATS}
        if stats != told:
            told = stats
            say(stats=stats)


if __name__ == "__main__":
    main()
