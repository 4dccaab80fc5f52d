"""Starts a server for the length of a comparison: a process, its folder, and the work that it can be given."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import measure
from measure import Measured, Work

HERE = Path(__file__).resolve().parent


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(method: str, url: str, body=None, headers=None) -> dict:
    """One request with JSON in and out."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


class Server:
    """A server under test."""

    name = "?"
    about = ""
    """What it does more or less than Jeton for the same work, in a line."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.process = None
        self.started_in = None
        """Seconds."""
        self.idle = None
        """MiB of all its processes before any load."""

    def start(self):
        """Starts it, and waits until it answers."""
        raise NotImplementedError

    def works(self) -> list[Work]:
        """What it can be asked."""
        raise NotImplementedError

    def version(self) -> str:
        """Which one it is."""
        return ""

    def load(self, work: Work, options, folder: Path) -> Measured:
        """One round of one kind of work."""
        return measure.load(self.process.pid, work, options.seconds, options.connections, folder)

    def url(self, path: str) -> str:
        """An address of it."""
        return f"http://127.0.0.1:{self.port}{path}"

    def spawn(self, command: list, ready: str, env: dict | None = None):
        """Runs it in its folder until `stop`; `ready` answers once it is up."""
        begun = time.monotonic()
        log = open(self.folder / "server.log", "wb")
        environment = os.environ | {key: str(value) for key, value in (env or {}).items()}
        self.process = subprocess.Popen(
            [str(part) for part in command], cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        while True:
            try:
                urllib.request.urlopen(self.url(ready), timeout=5).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - begun > 60:
                    raise RuntimeError(f"{self.name} does not start:\n{(self.folder / 'server.log').read_text()}") from None
                time.sleep(0.005)
        self.started_in = time.monotonic() - begun

    def stop(self):
        """Ends it."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Hello(Server):
    """actix-web that answers `hello`."""

    name = "actix hello"
    about = "no more than a constant: what the framework and the kernel cost"

    def __init__(self, folder: Path, binary: Path):
        super().__init__(folder)
        self.binary = binary

    def start(self):
        self.spawn([self.binary, self.port], "/")

    def works(self):
        return [Work("hello", self.url("/"))]


class Jeton(Server):
    """Jeton on one database with one algorithm."""

    about = "strict revocation: every answer rests on what is committed when its request arrives"
    password = "a long password for a benchmark"
    credentials = {"email": "bench@example.com", "password": password}
    flooding = 16
    """Connections over which others log in."""

    def __init__(self, folder: Path, binary: Path, algorithm: str, cluster=None, label="Jeton"):
        super().__init__(folder)
        self.binary, self.cluster, self.algorithm = binary, cluster, algorithm
        database = "PostgreSQL" if cluster else "SQLite"
        self.name = f"{label}, {database}, {algorithm}"
        self.env = {
            "JETON_SERVER__BIND": f"127.0.0.1:{self.port}",
            "JETON_SERVER__METRICS_BIND": "",
            "JETON_PROFILE": "engium",
            "JETON_KEYS__ALGORITHM": algorithm,
            "JETON_LOG": "error",
        }
        if cluster:
            self.env["DATABASE_URL"] = cluster.new_database()

    def run(self, *arguments: str, stdin: str = "") -> dict:
        """Runs a command of the command line."""
        env = os.environ | self.env
        command = [str(self.binary), *arguments]
        done = subprocess.run(command, cwd=self.folder, env=env, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr}")
        return json.loads(done.stdout) if "--json" in arguments else {}

    def start(self):
        self.run("migrate")
        self.tenant = self.run("tenant", "create", "--name", "Bench", "--json")["id"]
        made = self.run("api-key", "create", "--tenant", self.tenant, "--name", "Bench", "--scope", "bookings:read", "--json")
        self.key_id, self.key = made["id"], made["key"]
        email = ("--email", "bench@example.com", "--password-stdin")
        self.run("user", "create", "--tenant", self.tenant, *email, stdin=self.password + "\n")
        self.spawn([self.binary, "serve"], "/readyz", self.env)

    def refresh_tokens(self, sessions: int) -> list[str]:
        """Fresh ones, each of a login of its own."""
        login = self.url("/api/v1/auth/login")
        return [ask("POST", login, self.credentials)["refresh_token"] for _ in range(sessions)]

    def works(self):
        key = (f"Authorization: Bearer {self.key}", f"X-Tenant-ID: {self.tenant}")
        original = ("X-Original-Method: GET", "X-Original-URI: /api/v1/bookings/7?full=1")
        json_type = ("Content-Type: application/json",)
        login = Work("login", self.url("/api/v1/auth/login"), "POST", json_type, json.dumps(self.credentials))
        exchange = Work("key to JWT", self.url("/api/v1/auth/exchange"), "POST", key)
        jwks = Work("JWKS", self.url("/.well-known/jwks.json"))
        return [
            exchange,
            Work("forward auth", self.url("/api/v1/auth/forward"), headers=key + original),
            Work("refresh", self.url("/api/v1/auth/refresh"), "POST", json_type, tokens=lambda: self.refresh_tokens(48)),
            jwks,
            Work("discovery", self.url("/.well-known/openid-configuration")),
            login,
            *(replace(work, kind=f"{work.kind} during logins", flood=login) for work in (exchange, jwks)),
        ]

    def load(self, work, options, folder):
        if not work.flood:
            return super().load(work, options, folder)
        flood = measure.command(work.flood, options.seconds + 1, self.flooding, folder)
        with ThreadPoolExecutor(1) as other:
            logins = other.submit(measure.wrk, flood)
            time.sleep(0.5)
            measured = super().load(work, options, folder)
            logins.result()
        # Whose time the processor spent cannot be told.
        return replace(measured, cpu=0)

    def version(self):
        return subprocess.run([self.binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()


class BareUpdate(Server):
    """PostgreSQL alone, with the one statement that a refresh comes to: as fast as one commit each can be."""

    name = "PostgreSQL alone, 16 connections"
    about = "no more than the UPDATE of a session, committed one by one, by pgbench"
    rows, connections = 1_000, 16

    table = f"""
        CREATE TABLE sessions (
            id BYTEA PRIMARY KEY, user_id BYTEA NOT NULL, generation BIGINT NOT NULL, grace_uses BIGINT NOT NULL,
            rotated_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, revoked_at BIGINT, ip TEXT, user_agent TEXT
        );
        INSERT INTO sessions
            SELECT decode(md5(n::text), 'hex'), decode(md5('user'), 'hex'), 0, 0, 0, 0, NULL, '127.0.0.1', 'a browser'
            FROM generate_series(1, {rows}) AS n;
    """
    statement = f"""
        \\set n random(1, {rows})
        UPDATE sessions
            SET grace_uses = 0, generation = generation + 1, rotated_at = rotated_at + 1, expires_at = 2, ip = '127.0.0.1'
            WHERE id = decode(md5((:n)::text), 'hex') AND revoked_at IS NULL;
    """

    def __init__(self, folder: Path, cluster):
        super().__init__(folder)
        self.cluster, self.database = cluster, cluster.new_database()

    def start(self):
        (self.folder / "update.sql").write_text(self.statement.replace("\n            ", " "))
        subprocess.run([str(self.cluster.binaries / "psql"), "-q", self.database, "-c", self.table], check=True)

    def works(self):
        return [Work("refresh", self.database)]

    def load(self, work, options, folder):
        command = [self.cluster.binaries / "pgbench", "-n", "-M", "prepared", "-f", self.folder / "update.sql"]
        command += ["-c", self.connections, "-j", 1, "-T", options.seconds, self.database]
        told = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout
        figure = lambda before: float(re.search(rf"{before}\s*=?:?\s*([\d.]+)", told).group(1))
        requests = int(figure("transactions actually processed"))
        latency = figure("latency average")
        return Measured(requests, figure("\ntps"), cpu=0, p50=latency, p99=0, memory=0)


class BareArgon2(Server):
    """The password hash of a login alone, on as many threads as Jeton has for it."""

    name = "Argon2id alone, a thread a core"
    about = "no more than the password hash, with Jeton's parameters, crate and kept memory"

    def __init__(self, folder: Path, binary: Path):
        super().__init__(folder)
        self.binary = binary

    def start(self):
        pass

    def works(self):
        return [Work("login", "")]

    def load(self, work, options, folder):
        threads = len(os.sched_getaffinity(0))
        command = [str(self.binary), str(threads), str(options.seconds)]
        before = spent_by_children()
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        cpu = (spent_by_children() - before) * 1e6 / told["hashes"]
        each = threads * told["seconds"] * 1e3 / told["hashes"]
        return Measured(told["hashes"], told["hashes"] / told["seconds"], cpu, p50=each, p99=0, memory=0)


def spent_by_children() -> float:
    """Seconds of processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Cluster:
    """A PostgreSQL of the machine's own, as it is durable: fsync and synchronous commit are on."""

    def __init__(self, folder: Path):
        candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        self.binaries = candidates[0] if candidates else Path(shutil.which("initdb") or "/initdb").parent
        self.folder, self.port, self.databases, self.process = folder / "postgres", free_port(), 0, None

    def as_owner(self) -> list[str]:
        """PostgreSQL does not run as root."""
        return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []

    def start(self):
        """Makes the cluster and starts it."""
        self.folder.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        data = self.folder / "data"
        initdb = [self.binaries / "initdb", "-D", data, "-U", "jeton", "-A", "trust", "-E", "UTF8", "--locale=C"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
        subprocess.run([*self.as_owner(), *map(str, initdb)], check=True, **quiet)
        server = [self.binaries / "postgres", "-D", data, "-k", self.folder, "-h", "127.0.0.1", "-p", self.port]
        server += ["-c", "max_connections=200", "-c", "shared_buffers=256MB"]
        self.process = subprocess.Popen([*self.as_owner(), *map(str, server)], start_new_session=True, **quiet)
        for _ in range(200):
            ready = [self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(ready, check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("PostgreSQL does not start")

    def new_database(self) -> str:
        """The URL of an empty one."""
        self.databases += 1
        name = f"bench{self.databases}"
        url = f"postgres://jeton@127.0.0.1:{self.port}"
        subprocess.run([str(self.binaries / "psql"), "-q", f"{url}/postgres", "-c", f"CREATE DATABASE {name}"], check=True)
        return f"{url}/{name}?sslmode=disable"

    def version(self) -> str:
        """Which PostgreSQL it is."""
        told = subprocess.run([str(self.binaries / "postgres"), "--version"], capture_output=True, text=True, check=True)
        return told.stdout.strip()

    def stop(self):
        """Ends it at once: nothing of it is kept."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait()
