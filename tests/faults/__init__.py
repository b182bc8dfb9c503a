"""Faults that a refresh has to survive, with real processes, real databases and a fake Salesforce on a port."""

from __future__ import annotations
