"""Inside the virtual machine: do what the tests ask for over a serial port, one thing at a time.

Each request and each answer is a line of JSON. A request has a ``command`` (words), perhaps with
``input`` (base64), and the ``seconds`` it may take; or a ``get``, the path of a question to the
engine, which costs the guest a fraction of what starting the engine's client does. After each boot
the agent says which one it is, unasked.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import time

PORT = "/dev/virtio-ports/test.agent"
ENGINE = "/run/docker.sock"
TIMED_OUT = 124


def main() -> None:
    """Serve for as long as the machine runs."""
    while not os.path.exists(PORT):
        time.sleep(0.2)
    port = os.open(PORT, os.O_RDWR)
    with open("/proc/sys/kernel/random/boot_id") as file:
        # Whatever an earlier boot has left half said ends with this line.
        send(port, {"boot": file.read().strip()}, before=b"\n")
    buffer = b""
    while True:
        received = os.read(port, 65536)
        if not received:
            time.sleep(0.2)  # Nobody is connected to the port.
        buffer += received
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            if line.strip():
                request = json.loads(line)
                answer = get(request["get"]) if "get" in request else run(request)
                send(port, {"id": request["id"], **answer})


def send(port: int, answer: dict[str, object], before: bytes = b"") -> None:
    """Write an answer, all of it."""
    data = before + json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(port, data) :]


def run(request: dict[str, object]) -> dict[str, object]:
    """Run a command and tell its exit code and what it said."""
    process = subprocess.Popen(
        request["command"],  # type: ignore[call-overload]
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    given = base64.b64decode(str(request.get("input") or ""))
    try:
        out, err = process.communicate(given, timeout=request["seconds"])
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        code, err = TIMED_OUT, err + f"not within {request['seconds']} s\n".encode()
    return {
        "code": code,
        "out": base64.b64encode(out).decode(),
        "err": err.decode("utf-8", "replace"),
    }


def get(path: str) -> dict[str, object]:
    """Ask the engine, and tell the status of its answer (0: there was none) and the content."""
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(60)
            engine.connect(ENGINE)
            engine.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            parts = []
            while part := engine.recv(65536):
                parts.append(part)
    except OSError as error:
        return {"code": 0, "out": "", "err": str(error)}
    head, _, content = b"".join(parts).partition(b"\r\n\r\n")
    status = int(head.split(None, 2)[1]) if head else 0
    return {"code": status, "out": base64.b64encode(content).decode(), "err": ""}


if __name__ == "__main__":
    main()
