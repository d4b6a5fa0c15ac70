// An event server as in many tutorials, for comparison: it uses Node's http module and writes every
// message to a set of responses. It has no history, no limits and no back-pressure.
//
//      node tutorial.js
'use strict'
const http = require('http')

const streams = new Set()
let next = 1

const server = http.createServer((request, response) => {
  if (request.method === 'GET') {
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no'
    })
    response.write('event: ready\ndata: {}\n\n')
    streams.add(response)
    request.on('close', () => streams.delete(response))
    return
  }
  let body = ''
  request.on('data', (chunk) => { body += chunk })
  request.on('end', () => {
    const { room, message } = JSON.parse(body)
    const time = new Date()
    const id = `${time.getTime()}-${next++}`
    const event = { id, room, name: 'anonymous', message, time }
    if (room === 'bench') {
      const frame = `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`
      for (const stream of streams) stream.write(frame)
    }
    const answer = JSON.stringify({ id, room, time, online: streams.size })
    response.writeHead(201, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(answer)
    })
    response.end(answer)
  })
})
server.keepAliveTimeout = 0
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  console.error(`listening on http://127.0.0.1:${server.address().port}`)
})
