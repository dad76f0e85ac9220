// Reads texts as a JSON list from standard input, and writes the links that linkify-it and linkifyjs find in each as a JSON list of
// lists. Everything is on: links without a scheme, mail addresses, IP addresses, and all top-level domains.
const {LinkifyIt} = require('linkify-it')
const tlds = require('tlds')
const linkifyjs = require('linkifyjs')
const linkifier = new LinkifyIt({fuzzyLink: true, fuzzyEmail: true, fuzzyIP: true}).tlds(tlds)

const links = text => [
  ...(linkifier.match(text) ?? []).map(found => found.raw),
  ...linkifyjs.find(text).map(found => found.value)
]
process.stdout.write(JSON.stringify(JSON.parse(require('fs').readFileSync(0, 'utf8')).map(links)))
