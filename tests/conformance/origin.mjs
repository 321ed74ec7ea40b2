// The suite's own origin, which closes idle connections at another time:
//
//   node origin.mjs <file of the suite's server>
//
// By itself it does so after five seconds, and a request that is on its way at that moment fails (RFC 9112 §9.5).
// A cache must not send it again by itself: some tests count requests. Requests of this suite come in waves, every
// three seconds; this is the middle between two of them.
import http from 'node:http'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const create = http.createServer
http.createServer = (...given) => Object.assign(create(...given), { keepAliveTimeout: 4500 })
await import(pathToFileURL(resolve(process.argv[2])))
