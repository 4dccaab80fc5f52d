// See jeton.d.ts

export class JetonError extends Error {
	constructor(status, problem = {}) {
		super(problem.detail ?? 'HTTP ' + status)
		Object.assign(this, { status, code: problem.code, problem })
	}
}

export function createClient({ url, apis = [], cookie = true }) {
	const base = url.replace(/\/$/, '')
	const trusted = [base, ...apis].map((api) => new URL(api, location).origin)
	const tabs = new BroadcastChannel('jeton ' + base + (cookie || Math.random()))
	const listeners = new Set(), calls = {}
	let session = {}, leaving, timer

	// The later word counts, of any tab
	function enter(next) {
		const changed = session.sid !== next.sid
		if (changed || !next.sid) calls.refresh?.abort()
		if (!next.at) tabs.postMessage(Object.assign(next, { at: Date.now() }))
		session = next
		clearTimeout(timer)
		if (next.sid) timer = setTimeout(() => refresh().catch(() => {}), life(0.7 + Math.random() / 10))
		if (changed) for (const hear of listeners) hear(client.session)
	}
	tabs.onmessage = ({ data }) => data.at < session.at || enter(data)

	const life = (part) => Math.min(session.at + session.expires_in * 1000 * part - Date.now(), 2e9)

	async function post(path, body) {
		const call = (calls[path] = new AbortController())
		setTimeout(() => call.abort(), 1e4)
		const answer = await fetch(`${base}/api/v1/auth/${path}`, {
			method: 'POST',
			credentials: cookie ? 'include' : 'omit',
			headers: { 'Content-Type': 'application/json' },
			body: JSON.stringify(body),
			signal: call.signal,
		})
		if (!answer.ok) throw new JetonError(answer.status, await answer.json().catch(() => {}))
		if (answer.status === 204) return
		const next = await answer.json()
		call.signal.throwIfAborted()
		next.sid = JSON.parse(atob(next.access_token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'))).sid
		enter(next)
	}

	// One tab at a time, unless that one sleeps
	function refresh() {
		let begun, stale = session
		const work = () => (begun ??= renew(stale)), signal = AbortSignal.timeout(2e4)
		return (stale.turn ??= navigator.locks.request(tabs.name, { signal }, work).catch(work).finally(() => (stale.turn = 0)))
	}

	// Only a 401 signs out
	async function renew(stale) {
		for (let wait = 250; session === stale; wait *= 2) {
			try {
				return await post('refresh', { refresh_token: stale.refresh_token })
			} catch (error) {
				if (session !== stale) return
				if (error.status === 401) return enter({})
				if (wait > 8e3 || (error.status < 500 && !/408|429/.test(error.status))) throw error
				await new Promise((done) => setTimeout(done, wait * (0.5 + Math.random())))
			}
		}
	}

	const client = {
		get session() {
			return session.sid ? { tenantId: session.tenant_id, scope: session.scope, expiresAt: Date.now() + life(1) } : null
		},
		onChange: (hear) => (listeners.add(hear), () => listeners.delete(hear)),
		async login({ email, password, tenantId }) {
			await leaving?.catch(() => {})
			calls.login?.abort()
			await post('login', { email, password, tenant_id: tenantId, cookie })
			return client.session
		},
		async restore() {
			if (!session.sid && cookie) await refresh()
			return client.session
		},
		async token() {
			const { sid } = session
			if (life(0.9) < 0) await refresh()
			if (!sid || sid !== session.sid) throw new JetonError(401, { detail: 'Not signed in' })
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
			if (session === before) await refresh()
			return session.sid === before.sid ? send(request) : answer
		},
		async logout() {
			const { refresh_token } = session
			calls.login?.abort()
			enter({})
			await (leaving = post('logout', { refresh_token }))
		},
	}
	return client
}
