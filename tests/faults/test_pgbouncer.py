"""Behind PgBouncer in transaction mode, where no two transactions need share a session."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.db import connection

from django_sf_oauth.models import SalesforceConnection
from tests.ci import IN_CI
from tests.races.site import SOON, Site, reload, wait_for

from .databases import VENDOR

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(VENDOR != "postgresql", reason="PgBouncer is for PostgreSQL alone"),
    pytest.mark.skipif(PGBOUNCER is None and not IN_CI, reason="needs pgbouncer"),
]

AS_SOMEBODY_ELSE = ["--user=nobody"] if os.geteuid() == 0 else []  # it refuses to be root
SESSIONS = 2  # for the four or more connections of each process
CONFIG = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
auth_file = {users}
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 200
"""


@pytest.fixture
def bouncer() -> Iterator[int]:
    """The port of a PgBouncer of our own, in front of the server that the tests use."""
    facts = connection.settings_dict
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # for somebody else
        users, config = Path(name) / "users.txt", Path(name) / "pgbouncer.ini"
        users.write_text(f'"{facts["USER"]}" "{facts["PASSWORD"]}"\n')
        own = {"own_port": port, "users": users, "sessions": SESSIONS}
        config.write_text(CONFIG.format(host=facts["HOST"], port=facts["PORT"], user=facts["USER"], **own))
        assert PGBOUNCER
        command = [PGBOUNCER, "--quiet", *AS_SOMEBODY_ELSE, str(config)]
        started = subprocess.Popen(command)  # noqa: S603  # what we found, with our own file
        try:
            wait_for(lambda: is_listening(port))
            yield port
        finally:
            started.terminate()
            started.wait(SOON)


def is_listening(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_eight_processes_of_four_threads_make_one_token_request(
    site: Site, row: SalesforceConnection, bouncer: int
) -> None:
    database = {"HOST": "127.0.0.1", "PORT": bouncer, "DISABLE_SERVER_SIDE_CURSORS": True}

    assert site.race(row, processes=8, threads=4, database=database) == ["200"] * 32

    assert (reload(row).status, reload(row).generation) == ("active", 2)
    reload(row).refresh()
    assert site.asked == {"ok": 2}
