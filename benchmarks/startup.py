"""What the package costs a site at start-up.

Run with ``python -m benchmarks.startup``. Each figure stands beside its peer, measured in turns in the same run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROUNDS = 9

SETUP = """
import time
started = time.perf_counter()
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="benchmark", FERNET_KEYS=["benchmark-key"], USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", {app}],
    SALESFORCE_OAUTH={{"CLIENT_ID": "id", "CLIENT_SECRET": "secret"}},
)
django.setup()
print(time.perf_counter() - started)
"""


def seconds_printed(code: str) -> float:
    """Runs `code` in a process of its own and reads the seconds that it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    output = subprocess.run(  # noqa: S603  # the code above
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment
    ).stdout
    return float(output)


def side_by_side(codes: dict[str, str]) -> dict[str, float]:
    """The median seconds of each, run in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in codes}
    for _round in range(ROUNDS):
        for name, code in codes.items():
            seconds[name].append(seconds_printed(code))
    return {name: statistics.median(found) for name, found in seconds.items()}


def startup() -> None:
    setups = {
        "django.setup() without the app": SETUP.format(app=""),
        "django.setup() with the app": SETUP.format(app='"django_sf_oauth"'),
    }
    found = side_by_side(setups)
    plain = found["django.setup() without the app"]
    for name, seconds in found.items():
        print(f"{name:45} {seconds * 1000:8.1f} ms   ratio {seconds / plain:5.2f}")
    package = "import time; s = time.perf_counter(); import django_sf_oauth; print(time.perf_counter() - s)"
    print(f"{'import django_sf_oauth':45} {side_by_side({'import': package})['import'] * 1000:8.2f} ms")


if __name__ == "__main__":
    startup()
