// Node's http as a client: `node node_client.js PORT`. A line of JSON asks: {method, path, fresh}; a line answers it.
'use strict'
const http = require('node:http')
const readline = require('node:readline')

const port = Number(process.argv[2])
let agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
const tell = (got) => process.stdout.write(JSON.stringify({ status: 0, body: '', error: '', ...got }) + '\n')

function ask ({ method, path, fresh }) {
  if (fresh) {
    agent.destroy()
    agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  }
  let isOver = false
  const end = (got) => {
    if (!isOver) tell(got)
    isOver = true
  }
  const request = http.request({ host: '127.0.0.1', port, method, path, agent }, (response) => {
    let body = ''
    response.setEncoding('latin1')
    response.on('data', (part) => { body += part })
    response.on('end', () => end({ status: response.statusCode, body }))
    response.on('error', (error) => end({ error: String(error.code) }))
    response.on('aborted', () => end({ error: 'aborted' }))
  })
  request.on('error', (error) => end({ error: String(error.code) }))
  request.on('upgrade', (response, socket) => { socket.destroy(); end({ status: response.statusCode }) })
  request.end()
}

readline.createInterface({ input: process.stdin }).on('line', (line) => ask(JSON.parse(line)))
