// Node's `ws` as a client: node ws_client.mjs URL [CA]
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [url, ca] = process.argv.slice(2);
const WebSocket = createRequire(`${process.env.PEERS}/here.js`)('ws');
const options = ca ? { ca: readFileSync(ca) } : {};

const socket = new WebSocket(url, ['chat'], options);
await once(socket, 'open');
assert.equal(socket.protocol, 'chat');
const echo = async (message, send = () => socket.send(message)) => {
  const answered = once(socket, 'message');
  send();
  const [data, binary] = await answered;
  assert.equal(binary, typeof message !== 'string');
  assert.ok(Buffer.from(message).equals(data));
};
await echo('text');
await echo(Buffer.alloc(1_000_000, 7));
// In fragments.
await echo('one two', () => {
  socket.send('one ', { fin: false });
  socket.send('two', { fin: true });
});
for (let count = 0; count < 200; count++) await echo(`message ${count}`);
const pong = once(socket, 'pong');
socket.ping('are you there');
assert.equal((await pong)[0].toString(), 'are you there');
const closed = once(socket, 'close');
socket.send('close 4001');
const [code, reason] = await closed;
assert.deepEqual([code, reason.toString()], [4001, 'as asked']);

const refused = new WebSocket(url.replace(/ws$/, 'elsewhere'), [], options);
refused.on('error', () => {});
const [, response] = await once(refused, 'unexpected-response');
assert.equal(response.statusCode, 403);
// Only this is left open, if the connection is kept.
response.destroy();
