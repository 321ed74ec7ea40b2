// Runs http-cache-tests once, and prints a line for each test, which `cargo xtask conformance` reads.
//
//   node run.mjs <directory of the suite> <URL of the cache, without a slash at its end>
//
// A line has the word "result" and, separated by tabs: suite, id, kind, the ids it depends on (separated by blanks),
// the name of the error (empty: passed), its message. The reader decides what they mean.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const [directory, base] = process.argv.slice(2)
const file = name => pathToFileURL(resolve(directory, name))
const load = name => import(file(name))

// The edition in the registry has its files at the top, and needs a `fetch`; newer editions have and need neither.
const old = existsSync(file('client/runner.mjs'))
const suites = (await load('tests/index.mjs')).default
const { runTests, getResults } = await load(`${old ? '' : 'test-engine/'}client/runner.mjs`)
if (old) {
  suites.push((await load('tests/surrogate-control.mjs')).default)
  const fetch = createRequire(file('package.json'))('node-fetch')
  await runTests(suites, fetch, false, base, 25)
} else {
  await runTests(suites, false, base)
}

const results = getResults()
const plain = text => String(text ?? '').replace(/\s+/g, ' ')
for (const suite of suites) {
  for (const test of suite.tests) {
    // A test for browsers only is not run.
    if (!(test.id in results)) continue
    const [error, message] = results[test.id] === true ? [] : results[test.id]
    const fields = [suite.id, test.id, test.kind ?? 'required', (test.depends_on ?? []).join(' '), error, message]
    console.log(['result', ...fields.map(plain)].join('\t'))
  }
}
