// Node's http: `node node.js PORT`. Writes its record as the servers in Python do (see __init__.py).
'use strict'
const fs = require('node:fs')
const http = require('node:http')

const record = fs.openSync(process.env.SMUGGLING_RECORD, 'a')
const write = (event) => fs.writeSync(record, JSON.stringify({ at: Date.now() / 1000, ...event }) + '\n')

// The other side went away: that is nothing that was refused.
const GONE = new Set(['ECONNRESET', 'EPIPE', 'HPE_INVALID_EOF_STATE'])

function answer (request, response, body) {
  const name = request.headers['x-request-id'] || ''
  const connection = request.socket.remotePort
  write({
    method: request.method,
    target: request.url,
    host: request.headers.host ?? null,
    id: name,
    connection,
    client: request.headers['x-forwarded-for'] ?? null,
    body
  })
  response.end(`${name} ${connection}`)
}

const server = http.createServer((request, response) => {
  if (request.url.includes('/early/')) return answer(request, response, null)
  let length = 0
  request.on('data', (part) => { length += part.length })
  request.on('end', () => answer(request, response, length))
})
server.on('clientError', (error, socket) => {
  if (!GONE.has(error.code)) write({ refused: String(error.code), connection: socket.remotePort ?? null })
  socket.destroy()
})
server.keepAliveTimeout = 75000
server.listen(Number(process.argv[2]), '127.0.0.1')
