"""Other people's servers for the same work, each installed by the client of its own registry into a folder that stays."""

import base64
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

from measure import Work
from servers import HERE, Server

PROCESSES = os.cpu_count() or 1


def install(name: str, command: list, cache: Path) -> Path:
    """Copies a peer's files into the cache, and installs there what they need, once."""
    place = cache / name
    source = HERE / "peers" / name
    place.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        shutil.copy(file, place)
    if not (place / "installed").exists():
        subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
        (place / "installed").touch()
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
    """better-auth on Node.js with its JWT plugin."""

    about = (
        "a JWT out of a session cookie, not out of a key, and its store is in memory; more: a whole login system for web applications"
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

    def works(self):
        return [
            Work("session to JWT", self.url("/api/auth/token"), headers=(f"Cookie: {self.cookie}",)),
            Work("JWKS", self.url("/api/auth/jwks")),
        ]

    def version(self):
        return f"better-auth {npm_version(self.place, 'better-auth')}"
