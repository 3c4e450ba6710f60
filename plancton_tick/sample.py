"""The sample in the journal: how much owner and pilots use, and what keeps new pilots away. Pure.

Memory is in bytes, loads in cores. What is not known has no field.
"""

from plancton_tick.measures import Measures, World
from plancton_tick.model import PilotState
from plancton_tick.report import DEBUG, Event, Kind


def sample(measures: Measures) -> Event | None:
    """Return the sample as an event of the journal; None where nothing could be seen."""
    world = measures.world
    if world is None:
        return None
    fields = {
        "PLANCTON_NCPUS": str(world.ncpus),
        "PLANCTON_OWNER_CORES": f"{world.owner_cores:.3f}",
        "PLANCTON_ROOM_CORES": f"{world.room_cores:.3f}",
        "PLANCTON_PILOTS_RUNNING": str(world.count(PilotState.RUNNING)),
        "PLANCTON_PILOTS_PAUSED": str(world.count(PilotState.PAUSED)),
        "PLANCTON_VETOES": " ".join(_veto(*veto) for veto in world.vetoes),
        "PLANCTON_MEMORY_TOTAL": str(world.memory_total_bytes),
    }
    if world.pilots_cores is not None:
        fields["PLANCTON_PILOT_CORES"] = f"{world.pilots_cores:.3f}"
    elif not world.count(PilotState.RUNNING):
        fields["PLANCTON_PILOT_CORES"] = "0.000"
    if world.owner_memory_bytes is not None:
        fields["PLANCTON_OWNER_MEMORY"] = str(world.owner_memory_bytes)
    if world.pilots_memory_bytes is not None:
        fields["PLANCTON_PILOT_MEMORY"] = str(world.pilots_memory_bytes)
    return Event(Kind.SAMPLE, DEBUG, _words(world), fields)


def _veto(name: str, of_type: str) -> str:
    """Write a veto without blanks: they stand between two. Names of types have none."""
    return f"{name}:{of_type}" if of_type else name


def _words(world: World) -> str:
    used = "unknown" if world.pilots_cores is None else f"{world.pilots_cores:.2f}"
    return (
        f"sample: owner {world.owner_cores:.2f}, pilots {used}, room {world.room_cores:.2f} "
        f"of {world.ncpus} cores"
    )
