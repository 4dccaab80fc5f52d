// Where Jeton is. This page is of another origin, which is in its `server.allowed_origins`.
const JETON = 'http://localhost:8080'

const { createClient } = await import(`${JETON}/assets/jeton.js`)
const client = createClient({ url: JETON })

const [form, application, who, problem] = ['sign-in', 'application', 'who', 'problem'].map((id) => document.getElementById(id))

let shows = 0

async function show() {
  const mine = ++shows
  form.hidden = client.session !== null
  application.hidden = client.session === null
  if (client.session) {
    const me = await client.fetch(`${JETON}/api/v1/auth/me`)
    const { email } = await me.json()
    // Somebody else may have signed in meanwhile.
    if (mine === shows) who.textContent = email
  }
}

// Signed in or out, here or in another tab.
client.onChange(show)

form.addEventListener('submit', async (event) => {
  event.preventDefault()
  problem.textContent = ''
  try {
    await client.login(Object.fromEntries(new FormData(form)))
    form.reset()
  } catch (error) {
    problem.textContent = error.message
    if (error.code === 'tenant_required') {
      form.tenantId.replaceChildren(...error.problem.tenants.map(({ id, name }) => new Option(name, id)))
      form.tenantId.disabled = false
    }
  }
})

document.getElementById('sign-out').addEventListener('click', () => client.logout())

// After a reload the cookie signs in again.
await client.restore()
await show()

// For the browser's console, and for tests.
Object.assign(globalThis, { client, JETON })
