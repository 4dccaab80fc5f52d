// Niceties only: every page works without this file.

// Copy buttons: shown only where they can do something.
for (const button of document.querySelectorAll('[data-copy]')) {
  const source = document.getElementById(button.dataset.copy)
  if (!source || !navigator.clipboard) continue
  button.hidden = false
  const label = button.textContent
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(source.textContent)
    button.textContent = button.dataset.done
    setTimeout(() => (button.textContent = label), 2000)
  })
}

// One click sends a form once; the server makes one key of two anyway.
for (const form of document.forms) {
  form.addEventListener('submit', (event) => {
    if (form.dataset.sent) return event.preventDefault()
    form.dataset.sent = 'yes'
    // Whoever stopped it, or whose network failed, may send it again.
    setTimeout(() => delete form.dataset.sent, 5000)
  })
}
addEventListener('pageshow', () => {
  for (const form of document.forms) delete form.dataset.sent
})

// Scopes that the chosen kind of key cannot have are out of the way; the server refuses them anyway.
const kinds = document.querySelectorAll('[name=access_type]')
const choose = () => {
  const chosen = document.querySelector('[name=access_type]:checked')?.value
  for (const tick of document.querySelectorAll('[data-only-for]')) {
    const fits = !chosen || tick.dataset.onlyFor.split(' ').includes(chosen)
    tick.hidden = !fits
    tick.querySelector('input').disabled = !fits
  }
}
for (const kind of kinds) kind.addEventListener('change', choose)
if (kinds.length) choose()
