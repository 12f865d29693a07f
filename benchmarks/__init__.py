"""Ratios, measured side by side in one run. `make bench` prints the table; `docs/performance.md` keeps it."""
