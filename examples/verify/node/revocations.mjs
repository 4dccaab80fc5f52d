// Verifies Jeton access tokens offline, and refuses those whose session or API key was revoked. It asks
// for the status list that a token names once in a `ttl`, not for each token. Reads a token a line, and
// answers a line each: the claims, or why it refuses.

import { createInterface } from 'node:readline'
import { inflateSync } from 'node:zlib'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const issuer = process.env.JETON_URL ?? 'http://127.0.0.1:8080'
const audience = process.env.JETON_AUDIENCE ?? 'api'
const rules = { issuer, algorithms: ['ES256', 'EdDSA', 'RS256'], clockTolerance: 30 }
// As long as `jwks.max_age` says: the library does not read `Cache-Control`.
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), { cacheMaxAge: 300_000 })

// Every list of Jeton has 2^20 bits.
const LIST_BYTES = 131_072
// After a list could not be had, in seconds; sooner would add to the trouble.
const RETRY = 5

const first = `${issuer}/.well-known/revocations`
const lists = new Map()

/** The claims of a token that is valid and was not revoked; throws for any other. */
async function verify(token) {
  const requiredClaims = ['exp', 'iat', 'jti', 'sub', 'client_id', 'tenant_id']
  const { payload } = await jwtVerify(token, keys, { ...rules, audience, typ: 'at+jwt', requiredClaims })
  // Only now: what a forged token names must not be fetched.
  if (payload.status !== undefined && (await isRevoked(payload.status.status_list))) throw new Error('revoked')
  return payload
}

async function isRevoked({ idx, uri }) {
  // Nothing but the issuer's own lists is ever fetched, whatever a token says.
  const number = typeof uri === 'string' && uri.startsWith(`${first}/`) ? uri.slice(first.length + 1) : undefined
  if (uri !== first && !/^[1-9][0-9]*$/.test(number ?? '')) throw new Error('its status list is not the issuer\'s')
  if (!Number.isInteger(idx) || idx < 0 || idx >= LIST_BYTES * 8) throw new Error('its status is outside of the list')

  if (!lists.has(uri)) lists.set(uri, { askAt: 0, exp: 0 })
  const list = lists.get(uri)
  if (seconds() >= list.askAt) {
    // Those who come meanwhile wait for the same answer.
    list.asking ??= renew(uri, list).finally(() => { list.asking = undefined })
    await list.asking
  }
  if (wallClock() >= list.exp) throw new Error(`no status list that has not passed its exp: ${list.trouble}`)
  return ((list.bits[idx >> 3] >> (idx & 7)) & 1) === 1
}

/** Asks for a list. Where that fails the one that was there stays, until its `exp`. */
async function renew(uri, list) {
  const asked = seconds()
  try {
    const headers = list.etag ? { 'If-None-Match': list.etag } : {}
    const answer = await fetch(uri, { headers, redirect: 'error', signal: AbortSignal.timeout(5_000) })
    if (answer.status === 200) {
      const { payload } = await jwtVerify(await answer.text(), keys, {
        ...rules,
        subject: uri,
        typ: 'statuslist+jwt',
        requiredClaims: ['exp', 'iat', 'ttl', 'status_list'],
      })
      if (payload.status_list.bits !== 1) throw new Error('its entries have not one bit each')
      const bits = inflateSync(Buffer.from(payload.status_list.lst, 'base64url'), { maxOutputLength: LIST_BYTES })
      if (bits.length !== LIST_BYTES) throw new Error('it is too short')
      Object.assign(list, { bits, exp: payload.exp, ttl: payload.ttl, etag: answer.headers.get('etag') })
    } else if (answer.status !== 304) {
      throw new Error(`${uri} answers ${answer.status}`)
    }
    // From when it was asked for: of what was revoked later it says nothing.
    list.askAt = asked + list.ttl
  } catch (error) {
    list.trouble = error.message
    list.askAt = asked + RETRY
  }
}

/** A clock that nobody sets. */
function seconds() {
  return performance.now() / 1_000
}

function wallClock() {
  return Date.now() / 1_000
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await verify(line.trim())))
  } catch (error) {
    console.log(`refused: ${error.message}`)
  }
}
