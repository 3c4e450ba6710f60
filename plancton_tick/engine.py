"""The container engine: what a tick reads and does there; every error translated once, in words.

Reading goes over the small GET of wire.py when the engine is on a unix socket. The Docker SDK is
imported only where something is changed, or the engine is elsewhere.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from plancton_tick.errors import (
    ConflictError,
    EngineRefusedError,
    EngineUnavailableError,
    ImageMissingError,
    NameTakenError,
    NotFoundError,
    PullError,
)
from plancton_tick.labels import read_pilots
from plancton_tick.ledger import Volume, volume_prefix
from plancton_tick.model import LABEL_INSTANCE, LABEL_TYPE, Pilot
from plancton_tick.wire import UNIX_SCHEME, get_json

if TYPE_CHECKING:
    import docker

# {"label":["io.plancton.type"]} and {"name":["…"]}, percent-encoded by hand: urllib costs more
# than the request.
CONTAINERS_PATH = f"/containers/json?all=1&filters=%7B%22label%22%3A%5B%22{LABEL_TYPE}%22%5D%7D"
VOLUMES_PATH = "/volumes?filters=%7B%22name%22%3A%5B%22{prefix}%22%5D%7D"
# Layers are unpacked with long silences on slow disks, and registries are slow: minutes, not
# seconds.
PULL_SILENCE_SECONDS = 300.0
PULL_SECONDS = 1800.0
# Engines name a container by all of its id, twice in one line.
_LONG_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
# What Podman says, with status 500, where Docker says 404. It looks for a volume that is gone among
# longer names, and removing one while another call makes it anew leaves the folder to that one.
PODMAN_GONE = (
    "no such container",
    "no such volume",
    "more than one result for volume name",
    "cleaning up volume storage",
)
# The same for 409. The last comes of making a volume while another call removes it.
PODMAN_CONFLICTS = (
    "container state improper",
    "that name is already in use",
    "container already exists",
    "volume already exists",
    "/_data: no such file or directory",
)


class EngineInfo(NamedTuple):
    """What a spawn needs to know of the engine."""

    cgroup_driver: str
    log_drivers: tuple[str, ...]
    data_root: str | None
    ncpus: int = 1


class RawExit(NamedTuple):
    """How a container ended, as the engine tells it; instants in seconds since the epoch."""

    code: int
    started_at: float | None
    finished_at: float | None
    oom_killed: bool
    message: str


class Holder(NamedTuple):
    """Who holds a container name."""

    container_id: str
    is_pilot: bool


class Engine:
    """One engine and one instance of Plancton on it."""

    def __init__(self, url: str, timeout_seconds: float, instance: str) -> None:
        self.url = url
        self.timeout_seconds = timeout_seconds
        self.instance = instance
        self._socket_path = url.removeprefix(UNIX_SCHEME) if url.startswith(UNIX_SCHEME) else None
        self._sdk: docker.APIClient | None = None
        self._is_podman = False

    @property
    def is_local(self) -> bool:
        """Tell whether the engine is on a socket of this host."""
        return self._socket_path is not None

    # reading

    def list_pilots(self) -> tuple[Pilot, ...]:
        """List this instance's pilots in every state.

        Raises EngineUnavailableError if the list is not complete and sound: a failed listing must
        never pass for an empty one.
        """
        if self._socket_path is not None:
            listing = self._get(CONTAINERS_PATH, may_be_gone=False)
        else:
            with self._translated("list containers"):
                listing = self._client().containers(all=True, filters={"label": LABEL_TYPE})
        try:
            return read_pilots(listing, self.instance)
        except ValueError as error:
            raise EngineUnavailableError(f"the engine at {self.url} listed: {error}") from None

    def list_volumes(self) -> tuple[Volume, ...]:
        """List the volumes named as this instance's ledger. Raises EngineUnavailableError."""
        prefix = volume_prefix(self.instance)
        if self._socket_path is not None:
            listing = self._get(VOLUMES_PATH.format(prefix=prefix), may_be_gone=False)
        else:
            with self._translated("list volumes"):
                listing = self._client().volumes(filters={"name": prefix})
        # An engine without volumes says null, or leaves the key out.
        entries = listing.get("Volumes", []) if isinstance(listing, dict) else None
        if entries is None and isinstance(listing, dict):
            entries = []
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict)
            and isinstance(entry.get("Name"), str)
            and isinstance(entry.get("Labels") or {}, dict)
            for entry in entries
        ):
            raise EngineUnavailableError(
                f"the engine at {self.url} listed: expected volumes, found {listing!r:.60}"
            )
        return tuple(
            Volume(entry["Name"], entry.get("Labels") or {}, str(entry.get("Mountpoint", "")))
            for entry in entries
        )

    def read_exit(self, container_id: str) -> RawExit:
        """Tell how a container ended. Raises NotFoundError if it is gone."""
        path = f"/containers/{container_id}/json"
        if self._socket_path is not None:
            answer = self._get(path)
        else:
            with self._translated(f"inspect {container_id[:12]}"):
                answer = self._client().inspect_container(container_id)
        state = answer.get("State") if isinstance(answer, dict) else None
        if not isinstance(state, dict) or type(state.get("ExitCode")) is not int:
            raise EngineUnavailableError(f"the engine at {self.url} tells no state of {path}")
        return RawExit(
            code=state["ExitCode"],
            started_at=_read_instant(state.get("StartedAt")),
            finished_at=_read_instant(state.get("FinishedAt")),
            oom_killed=bool(state.get("OOMKilled")),
            message=str(state.get("Error") or "").strip().partition("\n")[0],
        )

    def read_holder(self, name: str) -> Holder:
        """Tell who holds a container name. Raises NotFoundError if nobody does (any more)."""
        path = f"/containers/{name}/json"
        if self._socket_path is not None:
            answer = self._get(path)
        else:
            with self._translated(f"inspect {name}"):
                answer = self._client().inspect_container(name)
        config = answer.get("Config") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or not isinstance(config, dict):
            raise EngineUnavailableError(f"the engine at {self.url} tells nothing of {name}")
        labels = config.get("Labels") or {}
        is_pilot = LABEL_TYPE in labels and labels.get(LABEL_INSTANCE) == self.instance
        return Holder(str(answer.get("Id")), is_pilot)

    def read_info(self) -> EngineInfo:
        """Ask the engine what it is, and remember it. Raises EngineUnavailableError."""
        if self._socket_path is not None:
            answer = self._get("/info", may_be_gone=False)
        else:
            with self._translated("ask for its information"):
                answer = self._client().info()
        if not isinstance(answer, dict):
            raise EngineUnavailableError(f"the engine at {self.url} tells nothing of itself")
        self._is_podman = "BuildahVersion" in answer
        plugins, data_root = answer.get("Plugins"), answer.get("DockerRootDir")
        log_drivers = plugins.get("Log") if isinstance(plugins, dict) else None
        return EngineInfo(
            cgroup_driver=str(answer.get("CgroupDriver", "")),
            log_drivers=tuple(log_drivers) if isinstance(log_drivers, list) else (),
            data_root=data_root if isinstance(data_root, str) else None,
            ncpus=int(answer.get("NCPU") or 1),
        )

    # changing

    def create(self, name: str, body: Mapping[str, object]) -> str:
        """Create a container and return its id.

        What Podman takes otherwise than Docker is put its way if ``read_info`` has found Podman.
        Raises NameTakenError if the name is claimed, ImageMissingError if there is no such image.
        """
        if self._is_podman:
            from plancton_tick.container import for_podman

            body = for_podman(body)
        image = str(body.get("Image"))
        with self._translated(f"create {name}", on_conflict=NameTakenError, needed_image=image):
            answer = self._client().create_container_from_config(dict(body), name)
            if not isinstance(answer, dict) or not isinstance(answer.get("Id"), str):
                raise ValueError(f"expected the new container's id, found {answer!r:.60}")
        return str(answer["Id"])

    def put(self, container_id: str, folder: str, tar: bytes) -> None:
        """Unpack a tar in a folder of a container, running or not."""
        with self._translated(f"write into {container_id[:12]}"):
            self._client().put_archive(container_id, folder, tar)

    def start(self, container_id: str) -> None:
        """Start a created container."""
        with self._translated(f"start {container_id[:12]}"):
            self._client().start(container_id)

    def pause(self, container_id: str) -> None:
        """Freeze a container. Raises ConflictError if it is not running, or frozen already."""
        with self._translated(f"pause {container_id[:12]}"):
            self._client().pause(container_id)

    def resume(self, container_id: str) -> None:
        """Thaw a container. Raises ConflictError if it is not frozen."""
        with self._translated(f"resume {container_id[:12]}"):
            self._client().unpause(container_id)

    def signal(self, container_id: str, signal: str) -> None:
        """Send a signal to a container. Raises ConflictError if it is not running."""
        with self._translated(f"signal {container_id[:12]}"):
            self._client().kill(container_id, signal)

    def remove(self, container_id: str) -> None:
        """Remove a container with its anonymous volumes, killing it if it still runs.

        Raises NotFoundError or ConflictError if somebody else removed it, or is about to.
        """
        with self._translated(f"remove {container_id[:12]}"):
            self._client().remove_container(container_id, v=True, force=True)

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Create a volume; one that exists is left as it is."""
        try:
            with self._translated(f"create volume {name}"):
                self._client().create_volume(name, labels=dict(labels))
        except ConflictError:
            # Podman's answer when two create the same volume at once.
            return

    def remove_volume(self, name: str) -> None:
        """Remove a volume. Raises NotFoundError if it is not there."""
        with self._translated(f"remove volume {name}"):
            # Podman, asked to remove one that is gone, removes the one whose name begins so.
            if self._client().inspect_volume(name).get("Name") != name:
                raise NotFoundError(f"volume {name} is not there")
            self._client().remove_volume(name)

    # images

    def read_digest(self, image: str) -> str | None:
        """Tell the digest of an image as its registry knows it, None if the image is not here.

        For an image that was made here, or that registries know by several digests, it is the
        engine's own id of it, which changes with its content too.
        """
        from plancton_tick.registry import full_name

        try:
            with self._translated(f"inspect image {image}"):
                answer = self._client().inspect_image(full_name(image))
        except NotFoundError:
            return None
        digests = {str(name).rpartition("@")[2] for name in answer.get("RepoDigests") or ()}
        return digests.pop() if len(digests) == 1 else str(answer["Id"])

    def pull(
        self,
        image: str,
        *,
        silence_seconds: float = PULL_SILENCE_SECONDS,
        at_most_seconds: float = PULL_SECONDS,
    ) -> None:
        """Pull an image and wait for it; a name without a tag means ``latest``.

        Raises PullError if the registry, or the engine on its behalf, refuses or takes longer than
        it may.
        """
        from plancton_tick.registry import check_progress

        began = heard = time.monotonic()
        silence_seconds = min(silence_seconds, at_most_seconds)
        try:
            with self._translated(f"pull {image}"):
                for line in self._pull_lines(image, silence_seconds):
                    heard = time.monotonic()
                    check_progress(image, line)
                    if heard - began > at_most_seconds:
                        raise PullError(f"{image} is not pulled: not done in {at_most_seconds:g} s")
        except EngineUnavailableError:
            if time.monotonic() - heard < silence_seconds:
                raise
            raise PullError(
                f"{image} is not pulled: nothing heard of it for {silence_seconds:g} s"
            ) from None

    def _pull_lines(self, image: str, silence_seconds: float) -> Iterator[bytes]:
        import docker

        from plancton_tick.registry import find_accounts, full_name, read_refusal

        client = self._client()
        accounts = find_accounts()
        if accounts is not None:
            client.reload_config(accounts)
        account = docker.auth.get_config_header(
            client, docker.auth.resolve_repository_name(full_name(image))[0]
        )
        # Not the SDK's own way to pull, for that waits for ever.
        with client.post(
            f"{client.base_url}/v{client.api_version}/images/create",
            params={"fromImage": full_name(image)},
            headers={"X-Registry-Auth": account} if account else {},
            stream=True,
            timeout=(self.timeout_seconds, silence_seconds),
        ) as answer:
            if answer.status_code >= 400:
                raise PullError(f"{image} is not pulled: {read_refusal(answer.content)}")
            yield from answer.iter_lines()

    # inside

    def prepare_changes(self) -> None:
        """Connect the SDK now, so that threads share one client. Raises EngineUnavailableError."""
        with self._translated("tell its version"):
            self._client()

    def _get(self, path: str, *, may_be_gone: bool = True) -> object:
        try:
            return get_json(self._socket_path or "", path, self.timeout_seconds)
        except NotFoundError as error:
            if may_be_gone:
                raise
            # What every engine has: something else listens there.
            raise EngineUnavailableError(
                f"the engine at {self.url} answered GET {path} with 404: {error.message}"
            ) from None

    def _client(self) -> "docker.APIClient":
        if self._sdk is None:
            import docker

            settings = {} if self.is_local else docker.utils.kwargs_from_env()
            settings.pop("base_url", None)
            self._sdk = docker.APIClient(
                base_url=self.url,
                # The SDK's own default version may be older than a current engine still speaks.
                version="auto",
                timeout=self.timeout_seconds,
                **settings,
            )
        return self._sdk

    @contextmanager
    def _translated(
        self,
        what: str,
        *,
        on_conflict: type[ConflictError] = ConflictError,
        needed_image: str | None = None,
    ) -> Iterator[None]:
        """Turn the SDK's errors into ours: what was asked, and what the engine said to it."""
        import docker

        try:
            yield
        except docker.errors.APIError as error:
            said = _LONG_ID.sub(r"\1", str(error.explanation or error).strip().partition("\n")[0])
            message = f"the engine refused to {what}: {said}"
            status = error.status_code
            if status == 404 and needed_image is not None and "image" in said.lower():
                raise ImageMissingError(message, hint=f"docker pull {needed_image}") from None
            if status == 404 or any(words in said for words in PODMAN_GONE):
                raise NotFoundError(message) from None
            if status == 409 or any(words in said for words in PODMAN_CONFLICTS):
                raise on_conflict(message) from None
            raise EngineRefusedError(message) from None
        except (docker.errors.DockerException, OSError, ValueError) as error:
            # The exceptions of requests are children of OSError, those of a broken JSON of both.
            said = " ".join(str(error).split())[:200]
            raise EngineUnavailableError(
                f"the engine at {self.url} did not {what}: {said}"
            ) from None


def _read_instant(text: object) -> float | None:
    """Read RFC 3339 as the engine writes it; year 1 means never."""
    from datetime import datetime

    if not isinstance(text, str) or text.startswith("0001-"):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
