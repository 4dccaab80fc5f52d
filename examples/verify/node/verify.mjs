// Verifies a Jeton access token offline and prints its claims.

import { readFileSync } from 'node:fs'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const issuer = process.env.JETON_URL ?? 'http://127.0.0.1:8080'
const audience = process.env.JETON_AUDIENCE ?? 'api'

// Keeps the keys in memory, and fetches them again when they are old or a key is unknown.
// As long as `jwks.max_age` says: the library does not read `Cache-Control`.
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), { cacheMaxAge: 300_000 })

/** The claims of a valid token; throws for any other. */
async function verify(token) {
  const { payload } = await jwtVerify(token, keys, {
    issuer,
    audience,
    typ: 'at+jwt',
    algorithms: ['ES256', 'EdDSA', 'RS256'],
    requiredClaims: ['exp', 'iat', 'jti', 'sub', 'client_id', 'tenant_id'],
    clockTolerance: 30,
  })
  return payload
}

try {
  const token = process.argv[2] ?? readFileSync(0, 'utf8').trim()
  console.log(JSON.stringify(await verify(token)))
} catch (error) {
  console.error(`refused: ${error.message}`)
  process.exitCode = 1
}
