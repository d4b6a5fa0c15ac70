// Follows a stream of ssechat with the library eventsource, which is in Debian's package
// node-eventsource. As in a browser, a program must name the events that it wants.
//
//     node with_eventsource.js follow 'http://127.0.0.1:8080/events?room=lobby' message ready

const EventSource = require('eventsource');

const [, url, ...names] = process.argv.slice(2);
// The library reconnects by itself, with the last id. It does not notice a connection that is
// silent.
const source = new EventSource(url);
for (const name of names) {
  source.addEventListener(name, ({type, lastEventId, data}) => {
    console.log(JSON.stringify({event: type, id: lastEventId, data}));
  });
}
source.addEventListener('error', (lost) => console.error('reconnecting:', lost.message ?? ''));
