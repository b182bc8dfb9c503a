"""Says in which order the tests ran: what depends on it can so be seen again."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"random order: --randomly-seed={config.getoption('randomly_seed', None)}")
