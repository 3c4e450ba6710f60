"""What came of a simulation, as a document for programs. Cores, bytes and seconds."""

import json

from plancton_tick.ctl.simulate_text import Report


def to_json(report: Report) -> str:
    """Return the document: what was simulated, and a value of each run for each figure."""
    plot, fleet = report.plot, report.fleet
    document = {
        "load": {
            "name": report.load,
            "kinds": list(fleet.kinds) if fleet is not None else [],
            "starts_at": plot.trace.starts_at,
            "seconds": plot.trace.seconds,
        },
        "hosts": 1 if fleet is None else fleet.hosts,
        "host": plot.machine._asdict(),
        "cadence_seconds": plot.cadence,
        "seed": plot.seed,
        "tasks": {
            "lasts": str(plot.tasks.lasts),
            "starts": str(plot.tasks.starts),
            "stops": str(plot.tasks.stops),
            "usage": plot.tasks.usage,
            "memory_usage": plot.tasks.memory_usage,
            "no_work": plot.tasks.no_work,
            "failed": plot.tasks.failed,
        },
        "runs": [
            {
                "name": run.name,
                "policy": run.policy,
                "harvested_share": tally.harvested_share,
                "kept_share": tally.kept_share,
                **tally._asdict(),
            }
            for run, tally in zip(report.runs, report.tallies, strict=True)
        ],
        "took_seconds": report.took_seconds,
        "host_hours_per_second": report.host_hours_per_second,
    }
    return json.dumps(document, indent=2)
