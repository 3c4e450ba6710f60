"""The batch system's side: a manager that can be killed, and what became of its tasks."""

import json
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.engine.ticks import wait_until

# The system's Python has the binding.
PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("manager.py")


class WorkQueue:
    """An application with tasks to do, and its manager; it gives each task until it is done.

    ``answers`` is what each task must print. A manager that was killed is started again by
    ``start``, at the same port, with the tasks whose results it had not given.
    """

    def __init__(self, folder: Path, password: Path) -> None:
        self.port = 0
        self.answers: dict[str, str] = {}
        self._commands: dict[str, str] = {}
        self._folder = folder
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._logs: list[_Log] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start a manager with all tasks that are not done."""
        number = len(self._logs)
        log = self._folder / f"manager-{number}.out"
        with log.open("wb") as out, (self._folder / f"manager-{number}.err").open("wb") as err:
            self._process = subprocess.Popen(
                [PYTHON, SCRIPT, str(self.port), self._password],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                cwd=self._folder,
            )
        done = self.done()
        self._logs.append(_Log(log))
        wait_until(lambda: self._said("port"))
        (self.port,) = self._said("port")
        self._send({tag: each for tag, each in self._commands.items() if tag not in done})

    def kill(self) -> None:
        """Kill the manager."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None

    def submit(self, numbers: Iterable[int], seconds: float) -> None:
        """Give tasks that take so long each and print the square of their number."""
        commands = {
            str(number): f"sleep {seconds}; echo $(({number} * {number}))" for number in numbers
        }
        self.answers |= {tag: str(int(tag) ** 2) for tag in commands}
        self._commands |= commands
        self._send(commands)

    def results(self) -> list[dict[str, object]]:
        """Return all results so far, in order, of all managers."""
        return [line for line in self._lines() if "tag" in line]

    def done(self) -> set[str]:
        """Return the tags of the tasks that have a result."""
        return {str(line["tag"]) for line in self.results()}

    def is_idle(self) -> bool:
        """Say whether all tasks given so far are done."""
        return self.done() == set(self.answers)

    def faults(self) -> dict[str, int]:
        """Count the tasks that were lost, came back twice, or came back wrong."""
        results = self.results()
        wrong = [
            line
            for line in results
            if (line["output"], line["result"], line["code"])
            != (self.answers.get(str(line["tag"])), 0, 0)
        ]
        return {
            "lost": len(self.answers) - len(self.done()),
            "duplicates": len(results) - len(self.done()),
            "wrong": len(wrong),
        }

    def count_again(self) -> int:
        """Count how often the running manager gave a task once more."""
        stats = self.stats()
        return stats["tasks_dispatched"] - stats["tasks_done"]

    def stats(self) -> Mapping[str, int]:
        """Return what the running manager counts."""
        (*_, last) = (line["stats"] for line in self._lines() if "stats" in line)
        assert isinstance(last, dict)
        return last

    def wait(self, patience: float) -> float:
        """Wait until all tasks are done; return the seconds."""
        began = time.monotonic()
        wait_until(self.is_idle, patience)
        return time.monotonic() - began

    def _send(self, commands: Mapping[str, str]) -> None:
        if self._process is not None and self._process.stdin is not None and commands:
            self._process.stdin.write(json.dumps(list(commands.items())).encode() + b"\n")
            self._process.stdin.flush()

    def _said(self, key: str) -> list[int]:
        said = [line[key] for line in self._logs[-1].read() if key in line]
        return [each for each in said if isinstance(each, int)]

    def _lines(self) -> list[dict[str, object]]:
        return [line for log in self._logs for line in log.read()]


class _Log:
    """A file of JSON lines that grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lines: list[dict[str, object]] = []

    def read(self) -> list[dict[str, object]]:
        """Return all lines so far. The last one may be half written, and is left for later."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._offset += len(whole) + 1
            self._lines += [json.loads(line) for line in whole.split(b"\n")]
        return self._lines
