"""Debian's nginx in front of a server, with little set but where that is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.program import PATIENCE, free_port

_CONFIGURATION = """
{user}
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{behind};{more}
        }}
    }}
}}
"""
WEBSOCKET = """
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
"""
"""What WebSockets need; other requests do as well with it."""


@contextmanager
def nginx(folder: Path, behind: int, more: str = "") -> Iterator[int]:
    """A proxy in front of a port; gives the port where it listens.

    Args:
        more: that is set.
    """
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "this test needs nginx: apt-get install nginx-light"
    port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            user=user, folder=folder, port=port, behind=behind, more=more
        )
    )
    command = [program, "-p", str(folder), "-e", "stderr", "-c", str(configuration)]

    def run(*arguments: str) -> None:
        subprocess.run([*command, *arguments], check=True, timeout=PATIENCE)

    run()  # returns when it listens
    try:
        yield port
    finally:
        run("-s", "stop")
