// Node's HTTP/2 client: many streams on one connection, uploads, trailers, 1xx.
//
//     node http2_client.mjs URL CA hello|upload|trailers|hints|cancel
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import assert from 'node:assert/strict';

const [base, ca, what] = process.argv.slice(2);
const { origin, pathname } = new URL(base);
const prefix = pathname.replace(/\/$/, '');
const session = http2.connect(origin, ca ? { ca: readFileSync(ca) } : {});
session.on('error', (error) => { console.error(error); process.exit(1); });

function ask(fields, body, trailers) {
  return new Promise((done, fail) => {
    const options = { waitForTrailers: Boolean(trailers), endStream: body === undefined };
    const stream = session.request({ ...fields, ':path': prefix + fields[':path'] }, options);
    const answer = { hints: [], parts: [], trailers: {} };
    stream.on('headers', (head) => answer.hints.push(head));
    stream.on('response', (head) => { answer.head = head; });
    stream.on('trailers', (found) => { answer.trailers = found; });
    stream.on('data', (part) => answer.parts.push(part));
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.on('end', () => done({ ...answer, body: Buffer.concat(answer.parts) }));
    stream.on('error', fail);
    if (body !== undefined) stream.end(body);
  });
}

const checks = {
  async hello() {
    const all = await Promise.all(Array.from({ length: 100 }, () => ask({ ':path': '/hello' })));
    for (const { head, body } of all) {
      assert.equal(head[':status'], 200);
      assert.equal(body.toString(), 'hello\n');
    }
  },
  async upload() {
    const body = Buffer.alloc(5_000_000, 'sheave');
    const sum = createHash('sha256').update(body).digest('hex');
    const all = await Promise.all([1, 2, 3].map(() => ask({ ':path': '/upload', ':method': 'POST' }, body)));
    for (const it of all) assert.equal(it.body.toString(), `${body.length} ${sum}\n`);
  },
  async trailers() {
    const body = Buffer.alloc(300_000, 'x');
    const sum = createHash('sha256').update(body).digest('hex');
    const fields = { ':path': '/echo', ':method': 'POST', te: 'trailers' };
    const found = await ask(fields, body, { 'x-asked': 'by the client' });
    assert.equal(found.body.length, body.length);
    assert.equal(found.trailers['x-sum'], sum);
    assert.equal(found.trailers['x-asked'], 'by the client');
  },
  async hints() {
    const { hints, head, body } = await ask({ ':path': '/hints' });
    assert.equal(hints.length, 1, 'one 103');
    assert.equal(hints[0][':status'], 103);
    assert.match(hints[0].link, /style\.css/);
    assert.equal(head[':status'], 200);
    assert.equal(body.toString(), 'hinted\n');
  },
  // A stream that its client gives up ends at the server at once, and others go on.
  async cancel() {
    const id = `node${process.pid}`;
    const stream = session.request({ ':path': `${prefix}/events?id=${id}` });
    await new Promise((done) => stream.once('data', done));
    stream.close(http2.constants.NGHTTP2_CANCEL);
    for (let tries = 0; ; tries++) {
      const { body } = await ask({ ':path': `/closed?id=${id}` });
      if (body.toString() === 'true\n') return;
      assert.ok(tries < 100, 'the server was not told');
      await new Promise((done) => setTimeout(done, 50));
    }
  },
};

await checks[what]();
session.close();
