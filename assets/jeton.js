// Jeton in the browser: see jeton.d.ts

export class JetonError extends Error {
  constructor(status, problem = {}) {
    super(problem.detail ?? 'HTTP ' + status)
    Object.assign(this, { status, code: problem.code, problem })
  }
}

export function createClient({ url, apis = [], cookie = true }) {
  const base = url.replace(/\/$/, '')
  const trusted = [base, ...apis].map((api) => new URL(api, location).origin)
  const name = 'jeton ' + base
  const tabs = cookie && new BroadcastChannel(name)
  const listeners = new Set()
  let session = null, refreshing, timer

  // All tabs share the tokens.
  function enter(next, tell = tabs) {
    const changed = !session !== !next
    session = next
    clearTimeout(timer)
    if (next) timer = setTimeout(() => refresh(next).catch(() => {}), life(next, 0.7 + Math.random() / 10))
    if (tell) tabs.postMessage(next)
    if (changed) for (const hear of listeners) hear(client.session)
  }
  if (tabs) tabs.onmessage = ({ data }) => enter(data, false)

  const life = (of, part) => Math.min(of.at + of.expires_in * 1000 * part - Date.now(), 2e9)

  async function post(path, body) {
    const answer = await fetch(`${base}/api/v1/auth/${path}`, {
      method: 'POST',
      credentials: cookie ? 'include' : 'omit',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(1e4),
    })
    if (!answer.ok) throw new JetonError(answer.status, await answer.json().catch(() => {}))
    if (answer.status !== 204) enter({ ...(await answer.json()), at: Date.now() })
  }

  const refresh = (stale) => (refreshing ??= inTurn(stale).finally(() => (refreshing = null)))

  // One tab at a time, unless that one sleeps; Jeton lets two converge.
  async function inTurn(stale) {
    let begun
    const work = async () => ((begun = true), session === stale && renew())
    const options = { signal: AbortSignal.timeout(2e4) }
    await navigator.locks.request(name, options, work).catch((error) => (begun ? Promise.reject(error) : work()))
  }

  // Only a 401 ends the session: no lost answer, no server that restarts.
  async function renew() {
    for (let wait = 250; ; wait *= 2) {
      try {
        return await post('refresh', held())
      } catch (error) {
        if (error.status === 401) enter(null)
        if (wait > 8e3 || (error.status < 500 && ![408, 429].includes(error.status))) throw error
        await new Promise((done) => setTimeout(done, wait * (0.5 + Math.random())))
      }
    }
  }

  const held = () => (cookie ? {} : { refresh_token: session?.refresh_token })

  const client = {
    get session() {
      return session && { tenantId: session.tenant_id, scope: session.scope, expiresAt: Date.now() + life(session, 1) }
    },
    onChange: (hear) => (listeners.add(hear), () => listeners.delete(hear)),
    async login({ email, password, tenantId }) {
      await post('login', { email, password, tenant_id: tenantId, cookie })
      return client.session
    },
    async restore() {
      if (!session && cookie) await refresh(null).catch((error) => error.status === 401 || Promise.reject(error))
      return client.session
    },
    async token() {
      if (session && life(session, 0.9) < 0) await refresh(session)
      if (!session) throw new JetonError(401, { detail: 'Nobody is signed in' })
      return session.access_token
    },
    async fetch(input, init) {
      const request = new Request(input, init)
      if (!trusted.includes(new URL(request.url).origin)) throw new TypeError(request.url + ' is not in apis')
      const send = async (request) => {
        request.headers.set('Authorization', 'Bearer ' + (await client.token()))
        return fetch(request)
      }
      const before = session
      const answer = await send(request.clone())
      if (answer.status !== 401) return answer
      if (session === before) await refresh(session)
      return send(request)
    },
    async logout() {
      const body = held()
      enter(null)
      await post('logout', body)
    },
  }
  return client
}
