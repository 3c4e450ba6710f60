"""Read the host's load from what sysstat recorded (/var/log/sysstat/saDD), through sadf(1).

All that is busy counts as the owner's: sysstat does not know pilots. Waiting for disks is idle, as
for a tick. Memory is what is not available to new programs.
"""

import json
import shutil
import subprocess
from datetime import UTC, datetime

from plancton_tick.ctl.traces import Sample, Trace, make_trace
from plancton_tick.errors import ToolMissingError, TraceError

SADF_HINT = "install sysstat: apt install sysstat, or dnf install sysstat"


def read_sar(path: str) -> Trace:
    """Read a file of sysstat. Raises TraceError, or ToolMissingError where there is no sadf."""
    if shutil.which("sadf") is None:
        raise ToolMissingError("sadf(1) is needed to read what sysstat recorded", hint=SADF_HINT)
    # -r ALL has the kernel's slabs too, without which no total can be told. Times are in UTC.
    command = ["sadf", "-j", path, "--", "-u", "-r", "ALL"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0 or not run.stdout.strip():
        said = " ".join((run.stderr or run.stdout).split()) or "it printed nothing"
        raise TraceError(f"{path}: sadf cannot read it: {said}")
    try:
        (host,) = json.loads(run.stdout)["sysstat"]["hosts"]
        return _make(path, host)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TraceError(f"{path}: sadf printed what this does not know: {error!r}") from None


def _make(path: str, host: dict[str, object]) -> Trace:
    ncpus = int(str(host["number-of-cpus"]))
    samples = []
    totals = []
    statistics = host["statistics"]
    if not isinstance(statistics, list):
        raise TypeError("statistics are no list")
    for entry in statistics:
        if "cpu-load" not in entry:
            # The line of a restart.
            continue
        (load,) = (each for each in entry["cpu-load"] if each["cpu"] == "all")
        stamp = entry["timestamp"]
        ended = datetime.fromisoformat(f"{stamp['date']} {stamp['time']}").replace(tzinfo=UTC)
        busy = max(0.0, 100.0 - load["idle"] - load["iowait"]) / 100.0
        memory = entry.get("memory", {})
        used = None
        if {"memfree", "memused", "avail"} <= set(memory):
            parts = ("memfree", "memused", "buffers", "cached", "slab")
            totals.append(1024 * sum(int(memory.get(part, 0)) for part in parts))
            used = max(0, totals[-1] - 1024 * int(memory["avail"]))
        # sysstat stamps the end of what it has averaged over.
        samples.append(Sample(ended.timestamp() - stamp["interval"], busy * ncpus, used))
    total = max(totals, default=None)
    return make_trace(path, samples, ncpus=ncpus, memory_total_bytes=total)
