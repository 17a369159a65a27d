"""All system tests, or those named: python3 Tests/System/run.py [--binary PATH] [-v] [--list] [NAME...]"""

import lab
import after_ban, allow, attack, commands, configs, confined, consumers, coverage, crowdsec, deception, dialects, enforced, evasion, firewalls, first_steps, fleet, fleet_size, fleet_tls, flood, footprint, formats, full_scan, innocents, integrations, journal, kills, latency, learned, legitimate, logs, month, neighbours, notify, oracles, page, path, resilience, shapes, spared, verdicts, watch  # noqa: E401,F401 (each registers its tests)

if __name__ == "__main__":
    raise SystemExit(lab.main())
