"""One script for each package: how its own documentation says that tokens are kept, used and refreshed.

Each runs as ``python -m benchmarks.twenty_at_once.drivers.<name>`` with the Python of an environment that has the
package, and knows nothing of the others.
"""

from __future__ import annotations
