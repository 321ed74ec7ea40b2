// The suite's own origin, changed so that it closes a connection only where that ends a response:
//
//   node origin.mjs <file of the suite's server>
//
// By default it closes connections that are idle for five seconds. A request that is on its way at that moment fails
// (RFC 9112 §9.5), and a cache must not repeat it by itself: some tests count requests. One test sends a response
// without a declared length; it ends with its connection (RFC 9112 §6.3), here immediately.
import http from 'node:http'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const create = http.createServer
http.createServer = (...given) => {
  const server = create(...given)
  server.keepAliveTimeout = 0
  return server.prependListener('request', (request, response) => {
    response.once('finish', () => {
      if (response.hasHeader('transfer-encoding')) request.socket.end()
    })
  })
}
await import(pathToFileURL(resolve(process.argv[2])))
