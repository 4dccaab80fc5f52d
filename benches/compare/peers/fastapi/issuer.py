"""An issuer as teams write it: an API key that is looked up by its hash, in memory, and a JWT signed with PyJWT."""

import base64
import hashlib
import os
import time
import uuid

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import FastAPI, Header, HTTPException

ALGORITHM = os.environ["ALGORITHM"]
PRIVATE = load_pem_private_key(base64.b64decode(os.environ["PRIVATE_KEY"]), None)
KEYS = {hashlib.sha256(os.environ["API_KEY"].encode()).hexdigest(): {"id": "key-1", "scope": "bookings:read", "tenant": "t-1"}}
JWKS = {"keys": [{**jwt.get_algorithm_by_name(ALGORITHM).to_jwk(PRIVATE.public_key(), as_dict=True), "kid": "1", "use": "sig"}]}

app = FastAPI()


@app.post("/exchange")
async def exchange(authorization: str = Header()):
    key = KEYS.get(hashlib.sha256(authorization.removeprefix("Bearer ").encode()).hexdigest())
    if key is None:
        raise HTTPException(401, "invalid_api_key")
    now = int(time.time())
    claims = {
        "iss": "https://issuer.example.com", "aud": "https://api.example.com", "sub": key["id"], "client_id": key["id"],
        "scope": key["scope"], "tenant_id": key["tenant"], "iat": now, "exp": now + 900, "jti": str(uuid.uuid4()),
    }
    token = jwt.encode(claims, PRIVATE, algorithm=ALGORITHM, headers={"typ": "at+jwt", "kid": "1"})
    return {"access_token": token, "token_type": "Bearer", "expires_in": 900, "scope": key["scope"]}


@app.get("/jwks")
async def jwks():
    return JWKS
