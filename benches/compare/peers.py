"""Other people's servers for the same work, each installed by the client of its own registry into a folder that stays."""

import base64
import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

from measure import Work
from servers import HERE, Server, ask

PROCESSES = os.cpu_count() or 1


def install(name: str, command: list, cache: Path) -> Path:
    """Copies a peer's files into the cache, and installs there what they need, unless it is there."""
    place = cache / name
    source = HERE / "peers" / name
    place.mkdir(parents=True, exist_ok=True)
    wanted = "".join(Path(shutil.copy(file, place)).read_text() for file in sorted(source.iterdir()))
    mark = place / "installed"
    if not mark.exists() or mark.read_text() != wanted:
        subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
        mark.write_text(wanted)
    return place


def npm(name: str, cache: Path) -> Path:
    """The folder of a peer from npm."""
    return install(name, ["npm", "install", "--no-audit", "--no-fund", "--silent"], cache)


def npm_version(place: Path, package: str) -> str:
    """Which version of a package is installed there."""
    return json.loads((place / "node_modules" / package / "package.json").read_text())["version"]


class OidcProvider(Server):
    """oidc-provider on Node.js, a process a core."""

    about = (
        "more: a certified OpenID provider with dozens of flows; less: clients and keys in memory, nothing is read for a token, "
        "the client's secret is compared as it is"
    )

    def __init__(self, folder: Path, cache: Path, algorithm: str):
        super().__init__(folder)
        self.place, self.algorithm = npm("oidc-provider", cache), algorithm
        self.name = f"oidc-provider, {PROCESSES} processes, {algorithm}"

    def start(self):
        self.spawn(["node", self.place / "server.js", self.port, PROCESSES, self.algorithm], "/jwks", {"NODE_ENV": "production"})

    def works(self):
        secret = base64.b64encode(b"bench:a-secret-of-a-benchmark").decode()
        headers = (f"Authorization: Basic {secret}", "Content-Type: application/x-www-form-urlencoded")
        body = "grant_type=client_credentials&scope=bookings%3Aread"
        return [
            Work("key to JWT", self.url("/token"), "POST", headers, body),
            Work("JWKS", self.url("/jwks")),
            Work("discovery", self.url("/.well-known/openid-configuration")),
        ]

    def version(self):
        return f"oidc-provider {npm_version(self.place, 'oidc-provider')}"


class FastApi(Server):
    """An issuer in Python as teams write it."""

    about = "less: one key in memory, no database, no tenant, no limits, no revocation, no audit, no metrics"
    key = "sk_live_0123456789abcdef0123456789abcdef"

    def __init__(self, folder: Path, cache: Path, algorithm: str):
        super().__init__(folder)
        install_packages = f"{sys.executable} -m venv venv && venv/bin/pip install --quiet -r requirements.txt"
        self.place, self.algorithm = install("fastapi", ["sh", "-c", install_packages], cache), algorithm
        self.name = f"FastAPI + PyJWT, {PROCESSES} workers, {algorithm}"

    def start(self):
        kind = ["ED25519"] if self.algorithm == "EdDSA" else ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        pem = subprocess.run(["openssl", "genpkey", "-algorithm", *kind], capture_output=True, check=True).stdout
        env = {"ALGORITHM": self.algorithm, "API_KEY": self.key, "PRIVATE_KEY": base64.b64encode(pem).decode()}
        command = [self.place / "venv/bin/uvicorn", "--app-dir", self.place, "--port", self.port, "--workers", PROCESSES]
        self.spawn([*command, "--log-level", "error", "--no-access-log", "issuer:app"], "/jwks", env)

    def works(self):
        return [
            Work("key to JWT", self.url("/exchange"), "POST", (f"Authorization: Bearer {self.key}",)),
            Work("JWKS", self.url("/jwks")),
        ]

    def version(self):
        packages = subprocess.run([self.place / "venv/bin/pip", "freeze"], capture_output=True, text=True, check=True).stdout
        wanted = ("fastapi==", "uvicorn==", "PyJWT==")
        return ", ".join(line.replace("==", " ") for line in packages.splitlines() if line.startswith(wanted))


class BetterAuth(Server):
    """better-auth on Node.js with its JWT and API key plugins."""

    about = (
        "less: its store is in memory, no tenant, no limits, no audit, no usage but the time of the last one; more: a whole "
        "login system for web applications; a session cookie becomes a JWT too"
    )

    def __init__(self, folder: Path, cache: Path, algorithm: str):
        super().__init__(folder)
        self.place, self.algorithm = npm("better-auth", cache), algorithm
        self.name = f"better-auth, {algorithm}"

    def start(self):
        self.spawn(["node", self.place / "server.js", self.port, self.algorithm], "/api/auth/jwks", {"NODE_ENV": "production"})
        user = {"email": "bench@example.com", "password": "a long password for a benchmark", "name": "Bench"}
        headers = {"Content-Type": "application/json", "Origin": self.url("")}
        request = urllib.request.Request(self.url("/api/auth/sign-up/email"), json.dumps(user).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            self.cookie = answer.headers["Set-Cookie"].split(";")[0]
        self.key = ask("POST", self.url("/create"), headers={"Cookie": self.cookie})["key"]

    def works(self):
        return [
            Work("key to JWT", self.url("/exchange"), "POST", (f"Authorization: Bearer {self.key}",)),
            Work("session to JWT", self.url("/api/auth/token"), headers=(f"Cookie: {self.cookie}",)),
            Work("JWKS", self.url("/api/auth/jwks")),
        ]

    def version(self):
        return f"better-auth {npm_version(self.place, 'better-auth')}"


class Glewlwyd(Server):
    """Glewlwyd, of Debian's packages, unpacked into a folder: nothing of it is installed."""

    about = (
        "a client's id and secret out of SQLite, and every token that it gives is stored; more: a certified OpenID provider "
        "with a dozen ways to log in; less: no tenant, no limits"
    )
    unpack = """
        packages=$(apt-get install -s --no-install-recommends glewlwyd 2>/dev/null | awk '/^Inst/ {print $2}')
        apt-get download -q glewlwyd $packages
        for package in *.deb; do dpkg -x "$package" root; done
        rm ./*.deb
    """

    def __init__(self, folder: Path, cache: Path):
        super().__init__(folder)
        self.place = install("glewlwyd", ["sh", "-ec", self.unpack], cache)
        self.root = self.place / "root"
        self.name, self.cookie = "glewlwyd, SQLite, ES256", None

    def start(self):
        config = (self.place / "glewlwyd.conf").read_text()
        (self.folder / "glewlwyd.conf").write_text(config.format(root=self.root, folder=self.folder, port=self.port))
        script = (self.root / "usr/share/dbconfig-common/data/glewlwyd/install/sqlite3").read_text()
        with sqlite3.connect(self.folder / "glewlwyd.db") as database:
            database.executescript(script)
        libraries = {"LD_LIBRARY_PATH": self.root / "usr/lib" / f"{os.uname().machine}-linux-gnu"}
        self.spawn([self.root / "usr/bin/glewlwyd", "--config-file", "glewlwyd.conf"], "/config/", libraries)
        private, public = self.key_pair()
        self.admin("POST", "auth/", {"username": "admin", "password": "password"})
        scope = {"name": "bookings", "display_name": "bookings", "password_required": False, "scheme": {}}
        self.admin("POST", "scope/", scope)
        names = ("auth-type-client-enabled", "allow-non-oidc")
        parameters = {"iss": "http://localhost", "jwt-type": "ecdsa", "jwt-key-size": "256", "key": private, "cert": public}
        parameters |= {"code-duration": 600, "refresh-token-duration": 1_209_600, "access-token-duration": 900}
        parameters |= dict.fromkeys(names, True)
        others = ("code", "token", "id-token", "none", "password", "refresh", "device")
        parameters |= {f"auth-type-{kind}-enabled": False for kind in others}
        plugin = {"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": True, "parameters": parameters}
        self.admin("POST", "mod/plugin/", plugin)
        client = {"client_id": "bench", "client_name": "bench", "confidential": True, "enabled": True}
        client |= {"client_secret": "a-secret", "token_endpoint_auth_method": ["client_secret_basic"]}
        self.admin("POST", "client/", client | {"authorization_type": ["client_credentials"], "scope": ["bookings"]})

    def key_pair(self) -> tuple[str, str]:
        """A new one for ES256, both halves as PEM."""
        make = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        private = subprocess.run(make, capture_output=True, check=True).stdout
        public = subprocess.run(["openssl", "pkey", "-pubout"], input=private, capture_output=True, check=True).stdout
        return private.decode(), public.decode()

    def admin(self, method: str, path: str, body: dict):
        """Asks the administration."""
        headers = {"Content-Type": "application/json"} | ({"Cookie": self.cookie} if self.cookie else {})
        request = urllib.request.Request(self.url(f"/api/{path}"), json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            self.cookie = (answer.headers["Set-Cookie"] or self.cookie or "").split(";")[0]

    def works(self):
        secret = base64.b64encode(b"bench:a-secret").decode()
        headers = (f"Authorization: Basic {secret}", "Content-Type: application/x-www-form-urlencoded")
        return [
            Work("key to JWT", self.url("/api/oidc/token"), "POST", headers, "grant_type=client_credentials&scope=bookings"),
            Work("JWKS", self.url("/api/oidc/jwks")),
        ]

    def version(self):
        changes = gzip.decompress((self.root / "usr/share/doc/glewlwyd/changelog.Debian.gz").read_bytes()).decode()
        return changes.split(")")[0].replace(" (", " ")
