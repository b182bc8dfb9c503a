"""The tasks on real brokers with real workers: whatever becomes of the messages, each grant is refreshed once."""

from __future__ import annotations
