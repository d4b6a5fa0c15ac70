// A client of ssechat with Node's own fetch. (Newer versions of Node also have an EventSource.)
//
//     node client.mjs follow 'http://127.0.0.1:8080/events?room=lobby'
//     echo '{"message":"hello"}' | node client.mjs post http://127.0.0.1:8080/messages KEY

import {readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';

// Reads Server-Sent Events, wherever the network cuts them (HTML Standard, 9.2.6).
class Reader {
  lastId = ''; // send it as Last-Event-ID when you reconnect
  retry = 1000; // wait so many milliseconds before that; the server changes it

  // Yields the events of one connection. What the last one left unfinished is dropped.
  async *read(stream) {
    let line = '', name = '', id = this.lastId, data = [], afterCr = false;
    // The decoder skips a byte order mark, and joins characters that the network has cut.
    for await (let piece of stream.pipeThrough(new TextDecoderStream())) {
      if (afterCr) piece = piece.replace(/^\n/, ''); // the second half of a CRLF
      line += piece;
      afterCr = piece.endsWith('\r');
      const lines = line.split(/\r\n|\r|\n/);
      line = lines.pop();
      for (const complete of lines) {
        if (complete === '') {
          this.lastId = id; // only now: an event that is cut off must be sent again
          if (data.length > 0) yield {event: name || 'message', id, data: data.join('\n')};
          [name, data] = ['', []];
          continue;
        }
        // A comment has an empty field, which is ignored.
        const [, field, value = ''] = complete.match(/^([^:]*)(?:: ?(.*))?$/s);
        if (field === 'event') name = value;
        if (field === 'data') data.push(value);
        if (field === 'id' && !value.includes('\0')) id = value;
        if (field === 'retry' && /^[0-9]+$/.test(value)) this.retry = Number(value);
      }
    }
  }
}

// Ends the program with what the server says about an error: the `detail` of its problem+json.
async function fail(answer) {
  const body = await answer.json().catch(() => ({detail: answer.statusText}));
  console.error(answer.status, body.detail);
  process.exit(1);
}

// Tells whether a later attempt can succeed. Proxies also send 408 and 429.
const isTemporary = (status) => status >= 500 || status === 408 || status === 429;

// Prints the events of a stream. If the connection is lost, it resumes where it stopped.
async function follow(url) {
  let wait = 0; // milliseconds, if a refusal asks for more than the reader's time
  for (const reader = new Reader(); ; await sleep(Math.max(reader.retry, wait))) {
    wait = 0;
    const headers = {Accept: 'text/event-stream'};
    // fetch sends each character of a header as one byte.
    if (reader.lastId) headers['Last-Event-ID'] = Buffer.from(reader.lastId).toString('latin1');
    // The server sends a heartbeat every 15 seconds: a connection that is silent for 45 is dead.
    const silence = new AbortController();
    const watch = setTimeout(() => silence.abort(), 45000);
    try {
      const answer = await fetch(url, {headers, signal: silence.signal});
      if (answer.status === 204) process.exit(0); // there is nothing more to come
      const isStream = answer.headers.get('Content-Type')?.startsWith('text/event-stream');
      wait = Number(answer.headers.get('Retry-After')) * 1000 || 0; // 0 if it is a date
      if (!isTemporary(answer.status) && !(answer.status === 200 && isStream)) await fail(answer);
      if (answer.status === 200) {
        for await (const event of reader.read(answer.body)) {
          watch.refresh();
          console.log(JSON.stringify(event));
        }
      }
    } catch (lost) {
      console.error('reconnecting:', lost.cause?.message ?? lost.message);
    }
    clearTimeout(watch);
  }
}

// Publishes a message. After a lost connection, repeat this with the same key.
async function post(url, body, key) {
  const headers = {'Content-Type': 'application/json'};
  if (key) headers['Idempotency-Key'] = key;
  const answer = await fetch(url, {method: 'POST', headers, body});
  if (!answer.ok) await fail(answer);
  console.log(answer.status, (await answer.json()).id);
}

const [command, url, key] = process.argv.slice(2);
if (command === 'follow') await follow(url);
else await post(url, readFileSync(0), key);
