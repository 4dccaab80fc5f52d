// See jeton.d.ts

export class JetonError extends Error {
	constructor(status, problem = {}) {
		super(problem.detail ?? 'HTTP ' + status)
		Object.assign(this, { status, code: problem.code, problem })
	}
}

export function createClient({ url, apis = [], cookie = true }) {
	const base = url.replace(/\/$/, ''), trusted = [base, ...apis].map((api) => new URL(api, location).origin)
	const tabs = new BroadcastChannel('jeton ' + base + (cookie || Math.random()))
	const ears = new Set(), left = new Set(), over = ({ sid }) => sid && left.has(sid)
	let held = {}, leaving

	function enter(next) {
		const { sid } = held, changed = sid !== next.sid
		if (changed) left.add(sid)
		if (changed || !next.sid) post.refresh?.abort()
		if (!next.at) tabs.postMessage(Object.assign(next, { at: Date.now(), left: changed && sid }))
		held = next
		if (next.sid) setTimeout(() => held === next && refresh().catch(() => {}), life(0.7 + Math.random() / 10))
		if (changed) for (const hear of ears) hear(client.session)
	}

	tabs.onmessage = ({ data }) => {
		left.add(data.left)
		if (over(data)) data = { at: data.at }
		if (over(held) || ((data.sid || data.out) && !(data.at < held.at))) enter(data)
	}

	const life = (part) => Math.min(held.at + held.expires_in * 1e3 * part - Date.now(), 2e9)

	async function post(path, body) {
		const call = (post[path] = new AbortController())
		setTimeout(() => call.abort(), 1e4)
		const answer = await fetch(`${base}/api/v1/auth/${path}`, {
			method: 'POST', credentials: cookie ? 'include' : 'omit', signal: call.signal,
			body: new Blob([JSON.stringify(body)], { type: 'application/json' }),
		})
		const next = await answer.json().catch(() => ({}))
		call.after = answer.headers.get('Retry-After') * 1e3
		if (!answer.ok) throw new JetonError(answer.status, next)
		if (answer.status === 204) return
		call.signal.throwIfAborted()
		next.sid = JSON.parse(atob(next.access_token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'))).sid
		if (over(next)) throw new JetonError(401)
		enter(next)
	}

	function refresh(old = held, begun) {
		const work = () => (begun ??= renew(old)), signal = AbortSignal.timeout(2e4)
		return (old.turn ||= navigator.locks.request(tabs.name, { signal }, work).catch(work).finally(() => (old.turn = 0)))
	}

	async function renew(old) {
		for (let wait = 250; held === old; wait *= 2) {
			const error = await post('refresh', { refresh_token: old.refresh_token }).catch((e) => e)
			if (held !== old) return
			if (error.status === 401) return enter({})
			wait = Math.max(wait, post.refresh.after || 0)
			if (wait > 4e3 || /^4(?!08|29)/.test(error.status)) throw error
			await new Promise((done) => setTimeout(done, wait * (1 + Math.random())))
		}
	}

	const client = {
		get session() {
			return held.sid ? { tenantId: held.tenant_id, scope: held.scope, expiresAt: Date.now() + life(1) } : null
		},
		onChange: (hear) => (ears.add(hear), () => ears.delete(hear)),
		async login({ email, password, tenantId }) {
			await leaving?.catch(() => {})
			post.login?.abort()
			await post('login', { email, password, tenant_id: tenantId, cookie })
			return client.session
		},
		async restore() {
			if (!held.sid && cookie) await refresh()
			return client.session
		},
		async token() {
			const { sid } = held
			if (life(0.9) < 0 && life(1) < 2e3) await refresh()
			if (!sid || sid !== held.sid) throw new JetonError(401)
			return held.access_token
		},
		async fetch(input, init) {
			const call = new Request(input, init)
			if (!trusted.includes(new URL(call.url).origin)) throw new TypeError(call.url + ' is not in apis')
			const send = async (call) => (call.headers.set('Authorization', `Bearer ${await client.token()}`), fetch(call))
			const was = held, answer = await send(call.clone())
			if (answer.status !== 401) return answer
			if (held === was) await refresh()
			return held.sid === was.sid ? send(call) : answer
		},
		async logout() {
			const { refresh_token } = held
			post.login?.abort()
			enter({ out: true })
			await (leaving = post('logout', { refresh_token }))
		},
	}
	return client
}
