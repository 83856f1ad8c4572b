"""`python -m tokenspot_client.agent`: the agent's commands without the rest of the client, in less memory."""

from __future__ import annotations

import argparse
import sys

from tokenspot_client.agent import commands, options


def main() -> int:
    """Run one command; 0 done, 1 refused, 2 wrong use, 3 stopped with records left in the spool."""
    parser = argparse.ArgumentParser(prog="tokenspot agent")
    actions = parser.add_subparsers(dest="agent_command", required=True, metavar="COMMAND")
    options.add_commands(actions)
    given = parser.parse_args()
    if given.agent_command == "run":
        return commands.run(given)
    given.run(None, given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
