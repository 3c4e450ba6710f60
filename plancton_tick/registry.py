"""Names of images, accounts on registries, and what an engine says while it pulls."""

import json
import os

from plancton_tick.errors import PullError

# The site's accounts on registries, in the form of Docker's config.json.
AUTH_FILE = "/etc/plancton/docker-auth.json"


def full_name(image: str) -> str:
    """Return the name with the tag that it means; without one an engine would pull all tags."""
    has_tag = "@" in image or ":" in image.rpartition("/")[2]
    return image if has_tag else f"{image}:latest"


def find_accounts(auth_file: str = AUTH_FILE) -> str | None:
    """Return the file of accounts, None for the one in the user's home, if any.

    It is config.json in $DOCKER_CONFIG, else ``auth_file``. Raises PullError if that one cannot be
    used: the SDK would go on without it, and the registry say only that access is denied.
    """
    folder = os.environ.get("DOCKER_CONFIG")
    path = os.path.join(folder, "config.json") if folder else auth_file
    try:
        with open(path, encoding="utf-8") as file:
            json.load(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PullError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise PullError(f"{path}: expected JSON as docker login writes it") from None
    return path


def check_progress(image: str, line: bytes) -> None:
    """Raise PullError if this line of the engine's answer says that the pull has failed."""
    try:
        progress = json.loads(line)
    except ValueError:
        return
    if isinstance(progress, dict) and progress.get("error"):
        said = " ".join(str(progress["error"]).split())
        raise PullError(f"{image} is not pulled: {said}")


def read_refusal(body: bytes) -> str:
    """Return what the engine says in an answer that refuses."""
    try:
        said = str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        said = body[:200].decode("utf-8", "replace")
    return " ".join(said.split())
