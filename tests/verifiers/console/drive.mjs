// Drives a headless Chromium for tests/verifiers/console.rs: one command a line on standard input, one answer a line on standard
// output. Arguments: the folder for screenshots, and `script` or `no-script`.
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

const [folder, script] = process.argv.slice(2)
const axe = await readFile(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
const context = await browser.newContext({ javaScriptEnabled: script !== 'no-script' })
const page = await context.newPage()
page.setDefaultTimeout(20000)
// What the browser complains of: what the policy forbids, what is missing. A refusal is no complaint.
const complaints = []
page.on('console', (said) => {
  if (['error', 'warning'].includes(said.type()) && !/status of 4\d\d/.test(said.text())) complaints.push(said.text())
})
let bytes = 0
page.on('response', async (answer) => {
  if (answer.request().isNavigationRequest() && answer.status() < 300) bytes = (await answer.body().catch(() => '')).length
})

const LOOKS = [
  ['light', { colorScheme: 'light' }, { width: 1280, height: 800 }],
  ['dark', { colorScheme: 'dark' }, { width: 1280, height: 800 }],
  ['phone', { colorScheme: 'light' }, { width: 360, height: 740 }],
  ['phone-dark', { colorScheme: 'dark' }, { width: 360, height: 740 }],
  // WCAG 2.2, 1.4.10
  ['narrow', { colorScheme: 'light' }, { width: 320, height: 640 }],
]

const commands = {
  open: async ([url]) => (await page.goto(url)).status(),
  path: () => new URL(page.url()).pathname,
  fill: ([selector, text]) => page.fill(selector, text),
  check: ([selector]) => page.locator(selector).first().check(),
  choose: ([selector, value]) => page.selectOption(selector, value),
  // Leads to another page.
  click: async ([selector]) => {
    await Promise.all([page.waitForNavigation(), page.locator(selector).first().click()])
  },
  press: async ([key]) => {
    await Promise.all([page.waitForNavigation(), page.keyboard.press(key)])
  },
  text: async ([selector]) => (await page.locator(selector).first().textContent()).trim(),
  count: ([selector]) => page.locator(selector).count(),
  focused: () => page.evaluate(() => document.activeElement.className || document.activeElement.id),
  title: () => page.title(),
  run: ([what]) => page.evaluate(what),
  // How the page looks, and what is wrong with it, in both schemes and on a phone.
  judge: async ([name]) => {
    const wrong = complaints.splice(0)
    if (bytes > 100000) wrong.push(`${bytes} bytes`)
    for (const [look, media, viewport] of LOOKS) {
      await page.emulateMedia({ ...media, reducedMotion: 'reduce' })
      await page.setViewportSize(viewport)
      await page.screenshot({ path: `${folder}/${name}-${look}.png`, fullPage: true })
      await page.evaluate(axe)
      const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }))
      wrong.push(...violations.map(({ id, nodes }) => `${look}: ${id}: ${nodes.map((node) => node.html).join(' ')}`))
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      if (wide > 0) wrong.push(`${look}: scrolls sideways by ${wide}`)
    }
    await page.setViewportSize(LOOKS[0][2])
    return wrong
  },
}

console.log(JSON.stringify('ready'))
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...arguments_] = JSON.parse(line)
  try {
    console.log(JSON.stringify({ done: (await commands[name](arguments_)) ?? null }))
  } catch (error) {
    console.log(JSON.stringify({ failed: `${error.name}: ${error.message}`, at: page.url() }))
  }
}
await browser.close()
process.exit(0)
