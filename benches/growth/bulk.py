"""Fills a database of Jeton with rows by the million, as fast as the database takes them."""

import itertools
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

TABLES = {
    "tenants": "id, name, project_token, created_at",
    "users": "id, email, password_hash, operator, created_at, password_changed_at",
    "memberships": "tenant_id, user_id, role, created_at",
    "sessions": "id, user_id, tenant_id, generation, grace_uses, created_at, rotated_at, expires_at, ends_at, "
    "revoked_at, revoked_reason, ip, user_agent, status_index",
    "api_keys": "id, tenant_id, name, key_hash, hint, environment, scopes, allowed_ips, created_at, created_by, "
    "expires_at, revoked_at, status_index",
    "audit_events": "id, at, tenant_id, action, outcome, actor, ip, user_agent, request_id",
    "api_key_usage": "api_key_id, day, outcome, times",
    "api_key_scope_usage": "api_key_id, day, scope, times",
    "api_key_callers": "api_key_id, secret, ip, user_agent, times, last_seen_at",
}
"""The tables that grow, and the columns that `fill` writes of each, in its order."""


@dataclass
class Scale:
    """How much there is."""

    keys: int
    tenants: int
    sessions: int
    now: int

    def arguments(self) -> list[str]:
        """As `fill` wants them."""
        return [str(number) for number in (self.keys, self.tenants, self.sessions, self.now)]


class Filler:
    """`fill` for one database."""

    def __init__(self, binary: Path, server, scale: Scale):
        self.binary, self.server, self.scale = binary, server, scale

    def start(self, what: str, which: str, last: str):
        """Starts it; what it writes is read from its standard output."""
        command = [self.binary, what, which, *self.scale.arguments(), last]
        place = {"cwd": self.server.folder, "env": self.server.environment()}
        return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, **place)

    def lines(self, what: str, count: int, seed: int) -> list[list[str]]:
        """Credentials that were chosen by chance."""
        with self.start(what, str(count), str(seed)) as fill:
            lines = [line.split("\t") for line in fill.stdout.read().decode().splitlines()]
        if fill.returncode:
            raise RuntimeError("fill failed")
        return lines

    def fill(self, password_hash: str):
        """Fills every table. Indexes that only help to read are made afterwards, which is quicker by far."""
        database = (Postgres if self.server.cluster else Sqlite)(self.server)
        indexes = database.drop_indexes()
        for table, columns in TABLES.items():
            with self.start("rows", table, password_hash) as fill:
                database.copy(table, columns, fill.stdout)
            if fill.returncode:
                raise RuntimeError(f"fill failed for {table}")
        for index in indexes:
            database.run(index)
        places = 1 + self.scale.keys + self.scale.sessions
        database.run(f"UPDATE status_counter SET next = {places}")
        database.finish()


class Sqlite:
    """An SQLite file that nobody else writes to; `fill` has it open too."""

    BATCH = 100_000

    def __init__(self, server):
        self.file = server.folder / "data/jeton.db"
        self.connection = sqlite3.connect(self.file, isolation_level=None)
        for setting in ("synchronous = OFF", "cache_size = -1000000", "foreign_keys = OFF"):
            self.run(f"PRAGMA {setting}")

    def run(self, statement: str):
        """Runs a statement."""
        return self.connection.execute(statement)

    def drop_indexes(self) -> list[str]:
        """Drops what `CREATE INDEX` made; answers how to make it again."""
        found = self.run("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        for name, _ in found:
            self.run(f"DROP INDEX {name}")
        return [sql for _, sql in found]

    def copy(self, table: str, columns: str, lines):
        """Inserts lines in the form of `COPY`."""
        marks = ", ".join("?" * len(columns.split(",")))
        while batch := list(itertools.islice(lines, self.BATCH)):
            self.run("BEGIN")
            self.connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", map(values, batch))
            self.run("COMMIT")

    def finish(self):
        """Leaves it as a server keeps it."""
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()


def values(line: bytes) -> list:
    """The values in a line: `\\\\x..` are bytes, `\\N` is nothing, and what is a number the column knows."""
    made = []
    for field in line.decode().rstrip("\n").split("\t"):
        if field.startswith("\\\\x"):
            made.append(bytes.fromhex(field[3:]))
        else:
            made.append(None if field == "\\N" else field)
    return made


class Postgres:
    """A database of a PostgreSQL cluster."""

    def __init__(self, server):
        psql = str(server.cluster.binaries / "psql")
        self.psql = [psql, "-q", "-v", "ON_ERROR_STOP=1", "-At", server.env["DATABASE_URL"]]

    def run(self, statement: str) -> str:
        """Runs a statement."""
        command = [*self.psql, "-c", "SET maintenance_work_mem = '512MB'", "-c", statement]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def drop_indexes(self) -> list[str]:
        """Drops what `CREATE INDEX` made; answers how to make it again."""
        found = self.run(
            "SELECT indexrelid::regclass || '|' || pg_get_indexdef(indexrelid) "
            "FROM pg_index i JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace "
            "AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)"
        )
        indexes = [line.split("|", 1) for line in found.splitlines()]
        for name, _ in indexes:
            self.run(f"DROP INDEX {name}")
        return [definition for _, definition in indexes]

    def copy(self, table: str, columns: str, lines):
        """Inserts lines in the form of `COPY`. Foreign keys are not looked at: `fill` keeps them."""
        unchecked, copy = "SET session_replication_role = replica", f"COPY {table} ({columns}) FROM STDIN"
        subprocess.run([*self.psql, "-c", unchecked, "-c", copy], stdin=lines, check=True)

    def finish(self):
        """What autovacuum would do in the first minutes."""
        subprocess.run([*self.psql, "-c", "VACUUM ANALYZE"], check=True)
