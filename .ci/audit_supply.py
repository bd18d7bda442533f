"""Ask known vulnerabilities of everything that constraints.txt pins: `make audit-supply`.

Exit code 1 where one is known. Where neither service can be reached, or knows the packages, that is said, and is no
failure: nothing was found out.
"""

import json
import subprocess
import sys
from typing import Any

SERVICES = ("pypi", "osv")
SECONDS = 300


def audited(service: str) -> list[dict[str, Any]]:
    """What pip-audit says of every pin; nothing where it got no answer."""
    command = [sys.executable, "-m", "pip_audit", "-r", "constraints.txt", "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", service, "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        return [found for found in json.loads(done.stdout)["dependencies"] if "skip_reason" not in found]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return []


def main() -> int:
    """Ask one service after the other until one answers."""
    for service in SERVICES:
        if answered := audited(service):
            known = [found for found in answered if found["vulns"]]
            for found in known:
                names = ", ".join(vuln["id"] for vuln in found["vulns"])
                sys.stdout.write(f"{found['name']} {found['version']}: {names}\n")
            sys.stdout.write(f"{service} knows {len(answered)} of the pinned packages, {len(known)} as vulnerable\n")
            return int(bool(known))
        sys.stdout.write(f"{service} could not be reached, or knows none of the pinned packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
