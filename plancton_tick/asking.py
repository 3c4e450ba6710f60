"""Requests for images: files in the folder ``pull`` of the service's runtime folder.

A file is named by a hash of the image's name and holds the name. It is made elsewhere and renamed
into the folder, so the folder never holds half a request. A path unit starts ``plancton-pull``
while the folder is not empty: whoever reads a request must remove it, whatever came of it.
"""

import contextlib
import hashlib
import os
from typing import NamedTuple

from plancton_tick.errors import RequestError

FOLDER = "pull"
# Image names are far shorter; whatever is longer is no request.
MAX_BYTES = 4096


class Request(NamedTuple):
    """A file in the folder, and the image it asks for; None if it is no request."""

    path: str
    image: str | None


def write_request(runtime: str, image: str) -> None:
    """Ask for an image. Raises RequestError."""
    folder = os.path.join(runtime, FOLDER)
    name = hashlib.sha256(image.encode()).hexdigest()
    fresh = os.path.join(runtime, f"{name}.{os.getpid()}")
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        try:
            with open(fresh, "w", encoding="utf-8") as file:
                file.write(f"{image}\n")
            os.rename(fresh, os.path.join(folder, name))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise
    except OSError as error:
        raise RequestError(
            f"{folder}: image {image} cannot be asked for: {error.strerror}",
            hint=f"docker pull {image}",
        ) from None


def list_requests(folder: str) -> tuple[Request, ...]:
    """List what is in the folder, in name order; none if there is no folder."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise RequestError(f"{folder}: requests cannot be read: {error.strerror}") from None
    paths = [os.path.join(folder, name) for name in names]
    return tuple(Request(path, _read(path)) for path in paths)


def remove_request(request: Request) -> None:
    """Remove a request; one that is gone already is no error. Raises RequestError."""
    try:
        os.unlink(request.path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RequestError(f"{request.path}: cannot be removed: {error.strerror}") from None


def _read(path: str) -> str | None:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
        try:
            content = os.read(descriptor, MAX_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    image = content.decode("utf-8", "replace").strip()
    named = hashlib.sha256(image.encode()).hexdigest() == os.path.basename(path)
    return image if image and named else None
