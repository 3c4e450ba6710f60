"""An image made of nothing but static busybox, for hosts that reach no registry.

Under a name that says what it is, ``name:latest`` by default; the image carries a label with the
digest of its content, so that making it again makes nothing.
"""

import hashlib
import io
import json
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

from plancton_tick.ctl import engine_http
from plancton_tick.errors import EngineRefusedError, HostError

LABEL_DIGEST = "io.plancton.image-digest"

_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "",
    "etc/resolv.conf": "",
}
_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "etc", "root", "tmp", "var/tmp")


def build_image(
    url: str,
    name: str,
    *,
    files: Mapping[str, bytes | str] | None = None,
    changes: Sequence[str] = ('CMD ["/bin/sh"]',),
) -> str:
    """Make the image ``name`` in the engine at ``url`` and return its id.

    ``files`` are executables by their path in the image; ``changes`` are lines of a Dockerfile
    such as ENTRYPOINT, CMD, ENV, LABEL. An image that is there already, just so, is left alone.
    Raises HostError without a static busybox, EngineUnavailableError, EngineRefusedError.
    """
    content = image_tar(find_static_busybox(), files or {})
    digest = hashlib.sha256(content + "\n".join(changes).encode()).hexdigest()
    existing = _inspect(url, name)
    if existing is None or existing[1] != digest:
        repository, _, tag = name.rpartition(":") if ":" in name.split("/")[-1] else (name, "", "")
        query = [("fromSrc", "-"), ("repo", repository), ("tag", tag or "latest")]
        query += [("changes", line) for line in (*changes, f'LABEL "{LABEL_DIGEST}"="{digest}"')]
        answer = engine_http.request(url, "POST", f"/images/create?{urlencode(query)}", content)
        # The engine answers 200 before it begins, and tells of a failure in the stream.
        if b'"error"' in answer:
            said = answer.decode(errors="replace").strip()
            raise EngineRefusedError(f"engine {url}: image {name} cannot be made: {said}")
        existing = _inspect(url, name)
    if existing is None:
        raise EngineRefusedError(f"engine {url}: image {name} was made and is not there")
    return existing[0]


def find_static_busybox() -> Path:
    """Return the path of a busybox that needs no libraries. Raises HostError."""
    seen = []
    for name in ("busybox", "busybox.static", "busybox-static"):
        found = shutil.which(name, path="/bin:/usr/bin:/sbin:/usr/sbin:/usr/local/bin")
        if found and is_static(Path(found)):
            return Path(found).resolve()
        seen += [f"{found} is not static"] if found else []
    raise HostError(
        f"busybox: expected a static one in /bin or /usr/bin, got {', '.join(seen) or 'none'}",
        hint="Install busybox-static (Debian, Ubuntu) or busybox (Fedora).",
    )


def is_static(program: Path) -> bool:
    """Say whether this is an ELF program without a program interpreter, elf(5)."""
    raw = program.read_bytes()
    if raw[:4] != b"\x7fELF":
        return False
    order = "<" if raw[5] == 1 else ">"
    if raw[4] == 2:
        (offset,) = struct.unpack_from(f"{order}Q", raw, 32)
        size, count = struct.unpack_from(f"{order}HH", raw, 54)
    else:
        (offset,) = struct.unpack_from(f"{order}I", raw, 28)
        size, count = struct.unpack_from(f"{order}HH", raw, 42)
    kinds = [struct.unpack_from(f"{order}I", raw, offset + i * size)[0] for i in range(count)]
    return 3 not in kinds  # PT_INTERP


def image_tar(busybox: Path, files: Mapping[str, bytes | str]) -> bytes:
    """Return the image's file system as a tar, the same bytes for the same content."""
    listed = subprocess.run([busybox, "--list-full"], capture_output=True, text=True, check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in _FOLDERS:
            _add(tar, folder, tarfile.DIRTYPE, mode=0o1777 if "tmp" in folder else 0o755)
        for name, text in _FILES.items():
            _add(tar, name, tarfile.REGTYPE, mode=0o644, content=text.encode())
        _add(tar, "bin/busybox", tarfile.REGTYPE, content=busybox.read_bytes())
        for applet in sorted(set(listed.stdout.split()) - {"bin/busybox", *files}):
            if applet.rpartition("/")[0] in _FOLDERS:
                _add(tar, applet, tarfile.SYMTYPE, target="/bin/busybox")
        for name, given in files.items():
            content = given.encode() if isinstance(given, str) else given
            _add(tar, name, tarfile.REGTYPE, content=content)
    return buffer.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    kind: bytes,
    *,
    mode: int = 0o755,
    content: bytes = b"",
    target: str = "",
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname = kind, mode, len(content), target
    tar.addfile(info, io.BytesIO(content))


def _inspect(url: str, name: str) -> tuple[str, str | None] | None:
    """Return the image's id and the digest it is labelled with; None if there is no such image."""
    try:
        image = json.loads(engine_http.request(url, "GET", f"/images/{name}/json"))
    except EngineRefusedError:
        return None
    labels = image["Config"].get("Labels") or {}
    return image["Id"], labels.get(LABEL_DIGEST)
