"""Pilots run by the engine alone, as a tick would run them but for the tick."""

from collections.abc import Mapping
from pathlib import Path

from tests.engine.rest import Rest


class Pilots:
    """Pilots of one image, with an environment and files that all of them find."""

    def __init__(
        self,
        rest: Rest,
        image: str,
        instance: str,
        env: Mapping[str, str],
        mounts: Mapping[str, Path],
    ) -> None:
        self.rest = rest
        self._image = image
        self._instance = instance
        self._env = dict(env)
        self._mounts = dict(mounts)

    def start(
        self,
        name: str,
        *,
        mounts: dict[str, Path] | None = None,
        dns: str | None = None,
        **env: str | None,
    ) -> str:
        """Start a pilot, with variables changed or, where they are None, left out."""
        given = {key: value for key, value in (self._env | env).items() if value is not None}
        return self.rest.run(
            self._image,
            f"{self._instance}-{name}",
            [],
            Hostname=f"{self._instance}-{name}",
            Env=[f"{key}={value}" for key, value in given.items()],
            HostConfig={
                "Init": True,
                "CapDrop": ["ALL"],
                "ReadonlyRootfs": True,
                "SecurityOpt": ["no-new-privileges"],
                "Dns": [dns] if dns else [],
                "Mounts": [
                    {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": True}
                    for target, source in (self._mounts | (mounts or {})).items()
                ],
            },
        )

    def end(self, pilot: str) -> int:
        """Wait for a pilot's end and return its exit code."""
        code: int = self.rest.post(f"/containers/{pilot}/wait")["StatusCode"]
        return code

    def terminate(self, pilot: str) -> None:
        """Tell a pilot to stop."""
        self.rest.post(f"/containers/{pilot}/kill", signal="SIGTERM")

    def kill(self, pilot: str) -> None:
        """End a pilot outright."""
        self.rest.post(f"/containers/{pilot}/kill", signal="SIGKILL")

    def processes(self, pilot: str) -> str:
        """Return the command lines that run in a pilot."""
        listed = self.rest.get(f"/containers/{pilot}/top")["Processes"]
        return "\n".join(process[-1] for process in listed)
