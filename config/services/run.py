"""`python -m config.services.run -- COMMAND ...`: the command, with the local servers up while it runs.

Servers that already run out of the same state folder (a demo) are used as they are.
"""

from __future__ import annotations

import subprocess
import sys

from config.services.local import local_services, services_answer
from config.services.processes import ServiceError
from config.settings.addresses import state_dir


def main(command: list[str]) -> int:
    """Run the command and give its exit code."""
    state = state_dir()
    try:
        if services_answer(state):
            return subprocess.run(command, check=False).returncode
        with local_services(state):
            return subprocess.run(command, check=False).returncode
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(arguments[1:] if arguments[:1] == ["--"] else arguments))
