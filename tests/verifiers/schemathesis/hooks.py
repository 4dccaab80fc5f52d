"""What schemathesis must know of Jeton: how to log in, what it must leave alone, and which statuses there are."""

import json
import os
import re
import urllib.request
from pathlib import Path

import schemathesis

URL, TENANT = os.environ["JETON_URL"], os.environ["JETON_TENANT"]
CREDENTIALS = {"email": os.environ["JETON_EMAIL"], "password": os.environ["JETON_PASSWORD"], "tenant_id": TENANT}

# Every row of docs/API.md that begins with a status: the codes that clients are told of.
API = Path(__file__).parents[3] / "docs/API.md"
ROWS = re.findall(r"^\| (\d{3}[\d, ]*) \|(.*)", API.read_text(encoding="utf-8"), re.MULTILINE)
DOCUMENTED = {
    (int(status), code)
    for statuses, row in ROWS
    for status in statuses.split(", ")
    for code in re.findall(r"`([a-z_]+)`", row)
}


@schemathesis.auth(refresh_interval=2)
class Login:
    """An operator's token, anew every other second: what is tried may end the session, or revoke the key that signed."""

    def get(self, case, context):
        body = json.dumps(CREDENTIALS).encode()
        request = urllib.request.Request(f"{URL}/api/v1/auth/login", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["access_token"]

    def set(self, case, data, context):
        if any("bearer" in requirement for requirement in case.operation.definition.raw.get("security", [])):
            case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Our own tenant: one that was made up would only ever be forbidden."""
    if path_parameters and context.operation.path.startswith("/api/v1/tenants/{tenant_id}/"):
        path_parameters["tenant_id"] = TENANT
    return path_parameters


@schemathesis.check
def documented_refusal(context, response, case):
    """A refusal has a status and a code that clients are told of."""
    if response.status_code < 400:
        return
    told = response.json() if response.content else {}
    code = told.get("code", told.get("error"))
    assert (response.status_code, code) in DOCUMENTED, f"{response.status_code} {code} is not in docs/API.md"
