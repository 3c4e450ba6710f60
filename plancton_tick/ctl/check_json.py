"""What ``check`` found as one JSON document, described in docs/check-json.md. Pure."""

import json
from collections.abc import Iterable, Mapping

from plancton_tick.ctl.check_fit import Fill, Fit
from plancton_tick.ctl.checked import Checked
from plancton_tick.model import Config, HostLoad, Veto
from plancton_tick.room import sum_cpus
from plancton_tick.spawning import read_cap

SCHEMA = 1


def to_json(checked: Checked) -> str:
    """Return the document. Cores, bytes; null is what is not known."""
    config, host, fit = checked.config, checked.host, checked.fit
    document = {
        "schema": SCHEMA,
        "file": checked.file,
        "files": checked.files,
        "ok": not checked.faults,
        "faults": [
            {
                "file": fault.file,
                "line": fault.line or None,
                "key": fault.key or None,
                "message": fault.message,
                "suggestion": fault.suggestion or None,
            }
            for fault in checked.faults
        ],
        "warnings": [
            {"warning": name, "key": key, "message": message, "hint": hint}
            for name, key, message, hint in checked.warnings
        ],
        "notes": checked.notes,
        "not_checked": checked.unchecked,
        "host": _host(config, host) if config is not None and host is not None else None,
        "fit": _fit(fit) if fit is not None else None,
    }
    return json.dumps(document, indent=2)


def _host(config: Config, host: HostLoad) -> Mapping[str, object]:
    return {
        "ncpus": host.ncpus,
        "memory_total_bytes": host.memory_total_bytes,
        "memory_available_bytes": host.memory_available_bytes + (host.pilots_memory_bytes or 0),
        "swap_total_bytes": host.swap_total_bytes,
        "disk_free_bytes": host.disk_free_bytes,
        "reserve_cpus": config.host.reserve_cpus,
        "reserve_memory_bytes": config.host.reserve_memory_bytes,
        "reserve_disk_bytes": config.host.reserve_disk_bytes,
        "max_pilots": read_cap(config, host)[0],
    }


def _fit(fit: Fit) -> Mapping[str, object]:
    return {
        "types": [
            {
                "type": each.type.name,
                "share": each.type.share,
                "cpus": each.type.cpus,
                "memory_bytes": each.type.memory_bytes,
                "alone": len(each.alone.pilots),
                "together": each.together,
                "can_fit": bool(each.on_empty.pilots),
                "limits": _limits(each.alone.vetoes),
            }
            for each in fit.types
        ],
        "together": _together(fit.together),
    }


def _together(fill: Fill) -> Mapping[str, object]:
    return {
        "pilots": len(fill.pilots),
        "is_more": fill.is_more,
        "cpus": round(sum_cpus(fill.pilots), 9),
        "memory_bytes": sum(pilot.memory_bytes for pilot in fill.pilots),
        "limits": _limits(fill.vetoes),
    }


def _limits(vetoes: Iterable[Veto]) -> list[Mapping[str, object]]:
    return [{"veto": veto.name, "type": veto.type, "reason": veto.reason} for veto in vetoes]
