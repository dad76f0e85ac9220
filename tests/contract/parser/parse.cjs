// Reads an AsyncAPI document from standard input, prints each mistake on a line, and exits with 1 if there is one.
const { readFileSync } = require('node:fs')
const { Parser } = require('@asyncapi/parser')

new Parser().parse(readFileSync(0, 'utf8')).then(({ document, diagnostics }) => {
  const wrong = diagnostics.filter(d => d.severity <= 1) // errors and warnings
  for (const d of wrong) console.log(`${d.path.join('.')}: ${d.message}`)
  process.exitCode = document && wrong.length === 0 ? 0 : 1
})
