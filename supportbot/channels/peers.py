"""Clients of TCP channels: their addresses, and noticing that one has vanished."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    ISSLTransport,
    ITCPTransport,
    ITransport,
    IUNIXTransport,
)

# A peer that vanished without a word is noticed within about 25 s: by the probes while
# nothing is sent, by the user time-out while something is. Each is blind to the other.
_VANISHED = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 20_000,  # milliseconds
    # Who does not read is noticed when so much waits, and not only after megabytes.
    "TCP_NOTSENT_LOWAT": 64 * 1024,  # bytes
}


def notice_vanishing(transport: ITransport | None) -> None:
    """See to it that the connection is lost when its peer has vanished.

    Connections that are not TCP are left alone; their peers don't vanish.
    """
    if IUNIXTransport.providedBy(transport):  # claims to be TCP as well
        return
    if transport is None or not ITCPTransport.providedBy(transport):
        return
    transport.setTcpKeepAlive(True)
    beneath: Any = getattr(transport, "transport", transport)  # TLS lies on top of TCP
    handle = beneath.getHandle()
    for name, value in _VANISHED.items():
        option = getattr(socket, name, None)  # not every system has them all
        if option is not None and hasattr(handle, "setsockopt"):
            handle.setsockopt(socket.IPPROTO_TCP, option, value)


def send_no_more(transport: Any) -> None:
    """Say that nothing more will be sent, and go on reading.

    The peer may still be sending. To close now would be to reset the connection, and
    what was written last might never be read.
    """
    if ISSLTransport.providedBy(transport):
        transport.loseConnection()  # goes on reading until the peer closes too
    else:
        transport.loseWriteConnection()


def host_of(address: IAddress | None) -> str:
    """The host in an address, or nothing if it is that of a unix socket."""
    host = str(getattr(address, "host", ""))
    return plain(host) or host


def plain(host: str) -> str | None:
    """An IP address as it is commonly written, or None if it is none.

    An IPv4 address that came in through an IPv6 socket is written as the former.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
