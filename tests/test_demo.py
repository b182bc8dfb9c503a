"""``manage.py demo`` as its users run it: what it starts, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from django_sf_oauth.models import PendingRevocation, SalesforceConnection
from tests.factories import make_connection
from tests.running_demo import MANAGE, Demo, demo_environment, free_port, is_free, running_demo

RUNS = "Ctrl-C stops it"
WITHIN = 20.0  # seconds


def children_of(demo: Demo) -> list[int]:
    """Each of them leads a process group of its own."""
    table = subprocess.run(["ps", "-A", "-o", "ppid=,pid="], capture_output=True, text=True, check=True)  # noqa: S607  # ps is wherever the system has it
    rows = (line.split() for line in table.stdout.splitlines())
    return [int(pid) for parent, pid in rows if int(parent) == demo.process.pid]


def members_of(groups: list[int]) -> list[str]:
    """The living processes of the groups, so also those that have lost their parent."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pgid=,stat=,args="],  # noqa: S607  # ps is wherever the system has it
        capture_output=True,
        text=True,
        check=True,
    )
    rows = (line.split(maxsplit=2) for line in table.stdout.splitlines())
    return [" ".join(row) for row in rows if int(row[0]) in groups and not row[1].startswith("Z")]


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes true within twenty seconds."""
    pause = threading.Event()
    return any(holds() or pause.wait(0.1) for _ in range(200))


def assert_nothing_is_left(demo: Demo, groups: list[int]) -> None:
    assert eventually(lambda: members_of(groups) == []), members_of(groups)
    assert is_free(demo.port)
    assert is_free(demo.fake_port)


def test_the_demo_runs_until_ctrl_c_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "fake.sqlite3").write_text("from an earlier run, and no database")

    with running_demo(tmp_path, "--reset") as demo:
        demo.wait_until_it_says(RUNS)
        groups = children_of(demo)
        site, panel = requests.get(demo.site, timeout=10), requests.get(demo.panel, timeout=10)
        demo.process.send_signal(signal.SIGINT)  # tox sends a second one after the terminal's
        code = demo.stop(signal.SIGINT)

    assert (site.status_code, panel.status_code) == (200, 200)
    assert len(groups) == 3
    assert code == 0
    assert "Traceback" not in demo.said()
    assert demo.said().endswith("Stopped.\n")
    assert_nothing_is_left(demo, groups)


def test_the_demo_can_be_ended_while_it_starts(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.wait_until_it_says("Starting")
        code = demo.stop(signal.SIGTERM)

    assert code == 0
    assert demo.said().endswith("Stopped.\n")
    assert not (tmp_path / "site.log").exists()  # it has not been started at all
    assert_nothing_is_left(demo, [])


def test_when_one_process_dies_the_demo_says_which_and_stops_the_others(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.wait_until_it_says(RUNS)
        log = tmp_path / "refresher.log"
        assert eventually(lambda: "beat: Starting" in log.read_text())  # in a child of its own
        groups = children_of(demo)
        os.kill(groups[-1], signal.SIGKILL)  # the last one started
        code = demo.process.wait(WITHIN)

    assert code == 1
    assert "The refresher stopped by itself (exit code -9)." in demo.said()
    assert "beat: Starting" in demo.said()
    assert "Traceback" not in demo.said()
    assert_nothing_is_left(demo, groups)


def test_with_a_connected_app_of_ones_own_there_is_no_fake(tmp_path: Path) -> None:
    app = {"SALESFORCE_CLIENT_ID": "3MVG9.real.client", "SALESFORCE_CLIENT_SECRET": "made-up-for-the-test"}

    with running_demo(tmp_path, **app) as demo:
        demo.wait_until_it_says(RUNS)
        groups = children_of(demo)
        page = requests.get(demo.site, timeout=10).text

    assert len(groups) == 2
    assert "fake" not in page
    assert f"callback URL: {demo.site}/salesforce/callback/" in demo.said()
    assert "lena-demo" not in demo.said()
    assert "made-up-for-the-test" not in demo.said()
    assert_nothing_is_left(demo, groups)


def run_briefly(var: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """For a demo that is not going to run."""
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, MANAGE, "demo", *arguments],
        env={**demo_environment(var), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("option", ["--port", "--fake-port"])
def test_a_port_that_is_taken_is_said_in_plain_words(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_briefly(tmp_path, "--port", "0", "--fake-port", "0", option, str(port))

    assert done.returncode == 1
    assert f"Port {port} is taken by another program." in done.stderr
    assert f"tox run -e demo -- {option} {port + 10}" in done.stderr
    assert "Traceback" not in done.stderr


def test_site_and_fake_need_a_port_each(tmp_path: Path) -> None:
    port = str(free_port())

    done = run_briefly(tmp_path, "--port", port, "--fake-port", port)

    assert done.returncode == 1
    assert "need a port each" in done.stderr


def test_connections_that_a_new_fake_knows_nothing_of_are_explained() -> None:
    from example_project.demo.banner import fake_banner
    from example_project.demo.people import known_people

    words = [fake_banner(site="", panel="", people=known_people(), forgotten=count, mails="") for count in (0, 1)]

    assert ["start with --reset" in text for text in words] == [False, True]


@pytest.mark.django_db
def test_a_new_fake_begins_without_the_connections_of_the_last_one() -> None:
    from example_project.demo.storage import forget_connections

    make_connection()
    make_connection().delete()  # which leaves a grant to revoke

    forget_connections()

    assert not SalesforceConnection.objects.exists()
    assert not PendingRevocation.objects.exists()
