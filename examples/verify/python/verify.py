"""Verifies a Jeton access token offline and prints its claims."""

import json
import os
import sys

import jwt

ISSUER = os.environ.get("JETON_URL", "http://127.0.0.1:8080")
AUDIENCE = os.environ.get("JETON_AUDIENCE", "api")

# Keeps the keys in memory, and fetches them again when they are old or a key is unknown.
KEYS = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json")


def verify(token):
    """The claims of a valid token; raises jwt.PyJWTError for any other."""
    verified = jwt.decode_complete(
        token,
        KEYS.get_signing_key_from_jwt(token),
        algorithms=["ES256", "EdDSA", "RS256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=30,
        options={"require": ["exp", "iat", "jti", "iss", "aud", "sub", "client_id", "tenant_id"]},
    )
    if verified["header"].get("typ") != "at+jwt":  # PyJWT does not look at it
        raise jwt.InvalidTokenError("not an access token")
    return verified["payload"]


if __name__ == "__main__":
    try:
        print(json.dumps(verify(sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read().strip())))
    except jwt.PyJWTError as error:
        sys.exit(f"refused: {error}")
