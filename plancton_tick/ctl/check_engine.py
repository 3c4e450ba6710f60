"""What the engine has of what a configuration asks for: images, networks, log drivers."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from plancton_tick.birth import JOURNALD_SOCKET
from plancton_tick.container import JOURNALD
from plancton_tick.engine import Engine
from plancton_tick.errors import EngineUnavailableError, NotFoundError
from plancton_tick.model import Config
from plancton_tick.wire import UNIX_SCHEME, get_json

# What these stand for is made for each container.
_OWN_NETWORKS = ("default", "bridge", "host", "none")


class Image(NamedTuple):
    """What the engine says of an image: the signal and the seconds in which it wants to stop."""

    stop_signal: str | None
    stop_timeout_seconds: int | None


class EngineFacts(NamedTuple):
    """What the engine has. An image is None if it is not there, a text if it cannot be one."""

    log_drivers: tuple[str, ...]
    has_journald: bool
    data_root: str | None
    images: Mapping[str, Image | str | None]
    missing_networks: frozenset[str]


def read_engine(engine: Engine, config: Config) -> EngineFacts:
    """Ask the engine on a local socket. Raises EngineUnavailableError."""
    info = engine.read_info()
    networks = {each.network for each in config.pilots if each.network not in _OWN_NETWORKS}
    return EngineFacts(
        log_drivers=info.log_drivers,
        has_journald=JOURNALD in info.log_drivers and os.path.exists(JOURNALD_SOCKET),
        data_root=info.data_root,
        images={each.image: _read_image(engine, each.image) for each in config.pilots},
        missing_networks=frozenset(name for name in networks if not _has_network(engine, name)),
    )


def _read_image(engine: Engine, name: str) -> Image | str | None:
    try:
        answer = _get(engine, "images", name)
    except NotFoundError:
        return None
    except EngineUnavailableError as error:
        # It has answered before, so this is about the name.
        return error.message
    config = answer.get("Config") if isinstance(answer, dict) else None
    config = config if isinstance(config, dict) else {}
    signal, seconds = config.get("StopSignal"), config.get("StopTimeout")
    return Image(
        stop_signal=signal if isinstance(signal, str) and signal else None,
        stop_timeout_seconds=seconds if isinstance(seconds, int) else None,
    )


def _has_network(engine: Engine, name: str) -> bool:
    if name.startswith("container:"):
        return True
    try:
        _get(engine, "networks", name)
    except NotFoundError:
        return False
    except EngineUnavailableError:
        return True
    return True


def _get(engine: Engine, kind: str, name: str) -> object:
    from urllib.parse import quote

    path = f"/{kind}/{quote(name, safe='/:@')}" + ("/json" if kind == "images" else "")
    return get_json(engine.url.removeprefix(UNIX_SCHEME), path, engine.timeout_seconds)
