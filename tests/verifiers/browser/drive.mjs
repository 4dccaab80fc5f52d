// Drives a headless Chromium for tests/verifiers/browser.rs: one command a line on standard input, one answer a line on
// standard output. The application is examples/browser, on an origin of its own; Jeton is behind a proxy that can lose answers,
// hold them back, and give ones of its own.
import { readFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

const [application] = process.argv.slice(2)
const seen = []
let [host, port] = []
let lose = 0
// By path: which answers wait, and what lets them go.
const held = {}
// By path: what is answered without asking Jeton, and after how many seconds to come again.
const instead = {}

const listening = (server) =>
  new Promise((done) => server.listen(0, 'localhost', () => done(`http://localhost:${server.address().port}`)))

const proxy = await listening(
  createServer((from, answer) => {
    if (from.method !== 'OPTIONS' && instead[from.url]) {
      const [status, seconds] = instead[from.url]
      seen.push(`${from.method} ${from.url} ${status}`)
      const headers = { 'Access-Control-Allow-Origin': app, 'Access-Control-Allow-Credentials': 'true' }
      const later = seconds ? { 'Retry-After': seconds, 'Access-Control-Expose-Headers': 'Retry-After' } : {}
      return answer.writeHead(status, { ...headers, ...later }).end('{}')
    }
    const to = request({ host, port, path: from.url, method: from.method, headers: from.headers }, (said) => {
      seen.push(`${from.method} ${from.url} ${said.statusCode}`)
      if (from.url === '/api/v1/auth/refresh' && lose > 0) {
        lose -= 1
        said.resume()
        said.on('end', () => answer.destroy())
        return
      }
      const go = () => {
        answer.writeHead(said.statusCode, said.headers)
        said.pipe(answer)
      }
      if (from.method === 'OPTIONS' || !held[from.url]) return go()
      held[from.url].push(go)
    })
    to.on('error', () => answer.destroy())
    from.pipe(to)
  }),
)

const app = await listening(
  createServer(async (from, answer) => {
    const name = from.url === '/' ? 'index.html' : from.url.slice(1)
    if (!['index.html', 'application.js'].includes(name)) return answer.writeHead(404).end()
    const text = (await readFile(`${application}/${name}`, 'utf8')).replace('http://localhost:8080', proxy)
    answer.writeHead(200, { 'Content-Type': name.endsWith('.js') ? 'text/javascript' : 'text/html' }).end(text)
  }),
)

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
const context = await browser.newContext()
const tabs = []

// Whether the sign-in form was ever seen on a tab since it was asked to be watched.
const WATCH = `
  globalThis.shown = 0
  new MutationObserver(() => { if (!document.getElementById('sign-in').hidden) shown += 1 })
    .observe(document.getElementById('sign-in'), { attributes: true })`

const commands = {
  target: ([to]) => void ([host, port] = to.split(':')),
  open: async () => {
    const tab = await context.newPage()
    await tab.goto(app)
    await tab.waitForFunction('globalThis.client !== undefined')
    return tabs.push(tab) - 1
  },
  reload: async ([tab]) => {
    await tabs[tab].reload()
    await tabs[tab].waitForFunction('globalThis.client !== undefined')
  },
  signIn: async ([tab, email, password]) => {
    await tabs[tab].fill('[name=email]', email)
    await tabs[tab].fill('[name=password]', password)
    await tabs[tab].click('text=Sign in')
  },
  click: ([tab, what]) => tabs[tab].click(what),
  wait: ([tab, condition]) => tabs[tab].waitForFunction(condition).then(() => true),
  watch: ([tab]) => tabs[tab].evaluate(WATCH),
  run: ([tab, script]) => tabs[tab].evaluate(script),
  hold: ([path]) => void (held[path] = []),
  // Once Jeton has answered.
  held: async ([path]) => {
    while (!held[path].length) await new Promise((done) => setTimeout(done, 20))
  },
  release: ([path]) => {
    for (const go of held[path]) go()
    delete held[path]
  },
  instead: ([path, status, seconds]) => void (instead[path] = status && [status, seconds]),
  lose: ([times]) => void (lose = times),
  seen: () => seen.splice(0),
  sleep: async ([tab, asleep]) => {
    const session = await context.newCDPSession(tabs[tab])
    await session.send('Page.setWebLifecycleState', { state: asleep ? 'frozen' : 'active' })
  },
}

console.log(JSON.stringify({ app, proxy }))
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...arguments_] = JSON.parse(line)
  try {
    console.log(JSON.stringify({ done: (await commands[name](arguments_)) ?? null }))
  } catch (error) {
    console.log(JSON.stringify({ failed: `${error.name}: ${error.message}` }))
  }
}
await browser.close()
process.exit(0)
