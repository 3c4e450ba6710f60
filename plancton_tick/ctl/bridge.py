"""A network bridge of one's own, by the kernel's ioctls: no iproute2 is needed.

A second engine on a host must not share the first one's docker0: each believes that it alone gives
out the addresses there.
"""

import fcntl
import os
import socket
import struct
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

# linux/sockios.h and linux/if.h.
_SIOCSIFFLAGS = 0x8914
_SIOCGIFADDR = 0x8915
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_SIOCSIFHWADDR = 0x8924
_SIOCBRADDBR = 0x89A0
_SIOCBRDELBR = 0x89A1
_IFF_UP = 1

# linux/if_arp.h.
_ARPHRD_ETHER = 1

# Private networks (RFC 1918) that home routers, Docker's own pools and Kubernetes leave alone, each
# with an address for every port that a bridge can have (1024).
_NETWORKS = list(IPv4Network("10.213.0.0/16").subnets(new_prefix=22))


def create_bridge(name: str) -> None:
    """Make sure that a bridge of this name is up, with an address in a network of its own.

    Raises OSError, EPERM among others where the caller may not configure the network.
    """
    if is_there(name):
        if _has_address(name):
            return
        remove_bridge(name)  # Left half made by a caller that was killed.
    network = _free_network(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCBRADDBR, _padded(name))
        # Left alone, a bridge takes the lowest hardware address of its ports for its own: another
        # one whenever containers come or go, and the rest go on sending to one that is not there.
        hardware = b"\x02\x42" + network[1].packed
        request = struct.pack("=16sH14s", _padded(name), _ARPHRD_ETHER, hardware)
        fcntl.ioctl(control, _SIOCSIFHWADDR, request)
        for call, address in ((_SIOCSIFADDR, network[1]), (_SIOCSIFNETMASK, network.netmask)):
            fcntl.ioctl(control, call, _address_request(name, address))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", _padded(name), _IFF_UP))


def remove_bridge(name: str) -> None:
    """Remove the bridge of this name, if there is one. Raises OSError."""
    if not is_there(name):
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", _padded(name), 0))
        fcntl.ioctl(control, _SIOCBRDELBR, _padded(name))


def is_there(name: str) -> bool:
    """Say whether an interface of this name exists in our network namespace, unlike /sys does."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _free_network(name: str) -> IPv4Network:
    """Return a network that no route of this host covers, the same one each time if it is free."""
    taken = _routed_networks()
    first = int.from_bytes(os.fsencode(name)[-4:], "little") % len(_NETWORKS)
    for network in _NETWORKS[first:] + _NETWORKS[:first]:
        if not any(network.overlaps(other) for other in taken):
            return network
    raise OSError(f"no free network in {_NETWORKS[0]} to {_NETWORKS[-1]}: all of them are routed")


def _routed_networks() -> list[IPv4Network]:
    """Read /proc/net/route; addresses there are hexadecimal in the host's byte order."""
    networks = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        destination, mask = (IPv4Address(struct.pack("=I", int(fields[i], 16))) for i in (1, 7))
        if int(mask) != 0:  # The default route covers everything and takes nothing.
            networks.append(IPv4Network((str(destination), str(mask)), strict=False))
    return networks


def _has_address(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, _SIOCGIFADDR, _padded(name).ljust(40, b"\0"))
        except OSError:
            return False
    return True


def _padded(name: str) -> bytes:
    raw = os.fsencode(name)
    if len(raw) > 15:
        raise OSError(f"bridge {name}: expected a name of at most 15 bytes, got {len(raw)}")
    return raw.ljust(16, b"\0")


def _address_request(name: str, address: IPv4Address) -> bytes:
    # struct ifreq with a sockaddr_in: family, port, address, eight bytes of padding.
    return struct.pack("=16sH2x4s8x", _padded(name), socket.AF_INET, address.packed)
