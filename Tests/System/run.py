"""All system tests, or those named: python3 Tests/System/run.py [--binary PATH] [-v] [--list] [NAME...]"""

import lab
import commands, configs, consumers, coverage, dialects, footprint, full_scan, journal, latency, resilience  # noqa: E401,F401 (each registers its tests)

if __name__ == "__main__":
    raise SystemExit(lab.main())
