"""OAuth 2.0 as Salesforce speaks it: values in, values out.

No Django, no sockets, no clock and no randomness, so that every rule here can be tested by a table.
"""

from __future__ import annotations
