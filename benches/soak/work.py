"""What the clients of the soak do, and what each answer must be."""

import base64
import collections
import http.client
import json
import random
import threading
import time

import servers

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Server(servers.Jeton):
    """Jeton with an administrator."""

    def __init__(self, folder, binary, cluster):
        super().__init__(folder, binary, "ES256", cluster)
        # Who fails on purpose has the address of all others.
        self.env["JETON_LOGIN__ADDRESS_FAILURES"] = "0"

    def start(self):
        super().start()
        arguments = ("--tenant", self.tenant, "--email", "admin@example.com", "--role", "admin", "--password-stdin")
        self.run("user", "create", *arguments, stdin=self.password + "\n")


class Tally:
    """Counts, of all clients of a server together."""

    def __init__(self):
        self.lock, self.done, self.wrong, self.unavailable = threading.Lock(), collections.Counter(), collections.Counter(), 0

    def count(self, kind, status, expected):
        with self.lock:
            self.done[kind] += 1
            if status == 503:
                self.unavailable += 1
            elif status != expected:
                self.wrong[f"{kind}: {status} in place of {expected}"] += 1

    def told(self):
        return f"{sum(self.done.values())} requests, {self.unavailable} of them 503, {sum(self.wrong.values())} wrong"

    def faults(self):
        """A 503 now and then is what a busy machine is promised; one in a hundred is not."""
        faults = [f"{told}, {times} times" for told, times in self.wrong.items()]
        if self.unavailable * 100 > sum(self.done.values()):
            faults.append("too often 503")
        return faults


class Client:
    """One connection, and a session that it holds."""

    def __init__(self, server, number, tally):
        self.server, self.tally, self.random = server, tally, random.Random(number)
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self.session = None
        self.kinds = [kind for kind, weight in WEIGHTS.items() for _ in range(weight)]

    def run(self, end, pace):
        """Works at this pace, in seconds a request, until `end`."""
        due = time.monotonic()
        while due < end:
            time.sleep(max(due - time.monotonic(), 0))
            if self.session is None:
                self.login()
            else:
                getattr(self, self.random.choice(self.kinds))()
            due = max(due + pace, time.monotonic() - 1)

    def ask(self, kind, expected, method, path, body=None, headers=None):
        """One request, whose answer is counted; its JSON where it is the expected one."""
        headers = headers or {}
        if isinstance(body, dict):
            body, headers = json.dumps(body), headers | JSON
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            status, text = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            status, text = type(error).__name__, b""
        self.tally.count(kind, status, expected)
        return (json.loads(text) if text[:1] == b"{" else {}) if status == expected else None

    @property
    def bearer(self):
        return {"Authorization": f"Bearer {self.session['access_token']}"}

    @property
    def key(self):
        return {"Authorization": f"Bearer {self.server.key}", "X-Tenant-ID": self.server.tenant}

    def as_client(self):
        pair = f"{self.server.key_id}:{self.server.key}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode()}

    def begin(self, kind):
        credentials = {"email": "admin@example.com", "password": self.server.password}
        return self.ask(kind, 200, "POST", "/api/v1/auth/login", credentials)

    def login(self):
        self.session = self.begin("login")

    def renew(self, kind, session):
        return self.ask(kind, 200, "POST", "/api/v1/auth/refresh", {"refresh_token": session["refresh_token"]})

    def refresh(self):
        self.session = self.renew("refresh", self.session)

    def exchange(self):
        self.ask("exchange", 200, "POST", "/api/v1/auth/exchange", headers=self.key)

    def client_credentials(self):
        form = "grant_type=client_credentials&scope=bookings:read"
        self.ask("client credentials", 200, "POST", "/oauth2/token", form, FORM | self.as_client())

    def forward(self):
        original = {"X-Original-Method": "GET", "X-Original-URI": "/api/v1/bookings/7?full=1"}
        self.ask("forward auth", 200, "GET", "/api/v1/auth/forward", headers=self.key | original)

    def jwks(self):
        self.ask("JWKS", 200, "GET", "/.well-known/jwks.json")

    def revocations(self):
        self.ask("status list", 200, "GET", "/.well-known/revocations")

    def account(self):
        self.ask("account", 200, "GET", "/api/v1/auth/me", headers=self.bearer)

    def introspect(self):
        form = f"token={self.session['access_token']}"
        self.ask("introspect", 200, "POST", "/oauth2/introspect", form, FORM | self.bearer)

    def list_keys(self):
        self.ask("list", 200, "GET", f"/api/v1/tenants/{self.server.tenant}/api-keys?limit=50", headers=self.bearer)

    def list_audit(self):
        self.ask("audit", 200, "GET", f"/api/v1/tenants/{self.server.tenant}/audit-events", headers=self.bearer)

    def make_key(self):
        """Makes a key, uses it once and revokes it."""
        keys = f"/api/v1/tenants/{self.server.tenant}/api-keys"
        idempotent = {"Idempotency-Key": str(self.random.random())}
        made = self.ask("key create", 201, "POST", keys, {"name": "Soak", "scopes": ["bookings:read"]}, self.bearer | idempotent)
        if made:
            used = {"Authorization": f"Bearer {made['key']}", "X-Tenant-ID": self.server.tenant}
            self.ask("exchange", 200, "POST", "/api/v1/auth/exchange", headers=used)
            if self.ask("key revoke", 204, "DELETE", f"{keys}/{made['id']}", headers=self.bearer) is not None:
                self.ask("revoked key", 401, "POST", "/api/v1/auth/exchange", headers=used)

    def visit(self):
        """A login that ends in a logout."""
        session = self.begin("login")
        if session:
            self.ask("logout", 204, "POST", "/api/v1/auth/logout", {"refresh_token": session["refresh_token"]})

    def reuse(self):
        """A refresh token that comes back when its successor was used up."""
        first = self.begin("login")
        second = first and self.renew("refresh", first)
        if second and self.renew("refresh", second):
            self.ask("reuse", 401, "POST", "/api/v1/auth/refresh", {"refresh_token": first["refresh_token"]})

    def stranger(self):
        """A wrong key."""
        wrong = self.key | {"Authorization": f"Bearer {self.server.key[:-4]}aaaa"}
        self.ask("wrong key", 401, "POST", "/api/v1/auth/exchange", headers=wrong)

    def guess(self):
        """A password of somebody who is not there."""
        body = {"email": f"nobody-{self.random.getrandbits(40)}@example.com", "password": "wrong and long enough"}
        self.ask("wrong password", 401, "POST", "/api/v1/auth/login", body)

    def forge(self):
        """A token with another signature."""
        token = self.session["access_token"][:-8] + "AAAAAAAA"
        self.ask("forged token", 401, "GET", "/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})

    def stumble(self):
        """A body that says nothing, and a path that is not there."""
        self.ask("bad body", 422, "POST", "/api/v1/auth/login", {"emial": "x"})
        self.ask("no such path", 404, "GET", f"/api/v1/{self.random.getrandbits(40)}")


WEIGHTS = {
    "exchange": 20,
    "refresh": 14,
    "forward": 14,
    "jwks": 8,
    "client_credentials": 6,
    "introspect": 6,
    "account": 5,
    "list_keys": 4,
    "list_audit": 2,
    "revocations": 2,
    "make_key": 2,
    "visit": 2,
    "reuse": 1,
    "stranger": 3,
    "guess": 1,
    "forge": 2,
    "stumble": 1,
}
"""How often each is done, of about a hundred."""
