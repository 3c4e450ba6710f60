"""An ordinary user of the test host, with a manager and a rootless engine of their own."""

import shlex

from tests.host.machine import PILOT_IMAGE, Host

NAME = "owner"
HOME = f"/home/{NAME}"
# As the engine's own dockerd-rootless-setuptool.sh writes it, but for a host without networks and
# with a root of layers already: neither slirp4netns nor overlay2 has anything to stand on there.
ENGINE_UNIT = """\
[Service]
Type=notify
NotifyAccess=all
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin
Environment=DOCKERD_ROOTLESS_ROOTLESSKIT_NET=host DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER=none
ExecStart=/usr/share/docker.io/contrib/dockerd-rootless.sh --storage-driver=vfs --iptables=false --bridge=none
Delegate=yes
"""  # noqa: E501
QUICK = f"{HOME}/.config/systemd/user/plancton.timer.d/quick.conf"


class User:
    """The user. ``run`` is what they would type; ``manage`` is their own systemctl."""

    def __init__(self, host: Host) -> None:
        self.host = host
        host.run(f"useradd --create-home --shell /bin/sh {NAME}")
        self.uid = host.run(f"id -u {NAME}")
        self.runtime = f"/run/user/{self.uid}"
        self.engine = f"unix://{self.runtime}/docker.sock"

    def start(self) -> None:
        """Start the user's manager, to stay, and the engine, with the pilots' image in it."""
        # A user's containers get a /proc only if all of one is to be seen somewhere, and the
        # host's own has a stand-in for a file of it: own_stat.py.
        self.host.run("mkdir -p /run/proc; mountpoint -q /run/proc || mount -t proc proc /run/proc")
        self.host.run(f"loginctl enable-linger {NAME}")
        self.host.wait_for(
            "the user's manager", lambda: self.manage("is-system-running || true") == "running"
        )
        self.write(f"{HOME}/.config/systemd/user/docker.service", ENGINE_UNIT)
        self.manage("daemon-reload")
        self.manage("start docker")
        self.host.run(f"docker save {PILOT_IMAGE} | DOCKER_HOST={self.engine} docker load")

    def remove(self) -> None:
        """Remove the user and all that runs or lies there."""
        self.host.run(
            f"loginctl disable-linger {NAME}; loginctl terminate-user {NAME}", check=False
        )
        self.host.wait_for(
            "the user's end",
            lambda: self.host.show(f"user@{self.uid}.service", "ActiveState") == "inactive",
            seconds=120,
        )
        # What its containers left belongs to users of its own.
        self.host.run(f"userdel {NAME}; rm -rf {HOME}; umount /run/proc")

    def run(self, command: str) -> str:
        """Run a command as the user, as in a session, and return what it printed."""
        settings = f"XDG_RUNTIME_DIR={self.runtime} DOCKER_HOST={self.engine}"
        return self.host.run(
            f"runuser -u {NAME} -- env --chdir={HOME} HOME={HOME} {settings} "
            f"sh -c {shlex.quote(command)}"
        )

    def manage(self, command: str) -> str:
        """Run the user's systemctl."""
        return self.run(f"systemctl --user {command}")

    def write(self, path: str, text: str) -> None:
        """Write a file of the user's."""
        self.host.write(path, text)
        self.host.run(f"chown -R {NAME}: {HOME}/.config")

    def pilots(self, state: str = "running") -> list[str]:
        """Return the names of pilots in a state of the user's engine, sorted."""
        wanted = f"--filter label=io.plancton.type --filter status={state}"
        return sorted(self.run(f"docker ps -a {wanted} --format '{{{{.Names}}}}'").split())

    def remove_all(self) -> None:
        """Stop the timer, and remove pilots and ledger."""
        self.manage("disable --now plancton.timer; systemctl --user stop plancton.service")
        self.run(
            "docker ps -aq --filter label=io.plancton.type | xargs -r docker rm -f; "
            "docker volume ls -q --filter label=io.plancton.ledger | xargs -r docker volume rm"
        )
