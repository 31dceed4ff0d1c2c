// Node as a server: HTTP/1.1 with WebSockets by `ws`, HTTP/2 with TLS, and without.
//
//     node web.mjs http1|http2|h2c PORT [CERT KEY]
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { createRequire } from 'node:module';

const [kind, port, cert, key] = process.argv.slice(2);
const { WebSocketServer } = createRequire(`${process.env.PEERS}/here.js`)('ws');
const streams = new Map();
// How often each asset was asked for.
const seen = new Map();
let report = '';

const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
// Long enough to be compressed.
const ASSETS = {
  js: ['text/javascript', (name) => `ran.push('${name}');\n${'// a comment\n'.repeat(300)}`],
  css: ['text/css', (name) => `.${name} { color: red }\n${'/* a comment */\n'.repeat(300)}`],
  png: ['image/png', () => PIXEL],
};
// `checked`: a browser asks each time whether it is still the same, and a cache before us may answer.
const FIELDS = {
  fresh: { 'cache-control': 'max-age=600' },
  checked: { 'cache-control': 'no-cache', 'cdn-cache-control': 'max-age=600' },
};

function asset(path, request, response) {
  const [, name, kind, ending] = path.match(/^\/assets\/((fresh|checked)-\d+)\.(js|css|png)$/);
  seen.set(path, (seen.get(path) ?? 0) + 1);
  const [type, content] = ASSETS[ending];
  const fields = { etag: `"${name}"`, ...FIELDS[kind] };
  if (request.headers['if-none-match']?.includes(fields.etag)) {
    return response.writeHead(304, fields).end();
  }
  return response.writeHead(200, { 'content-type': type, ...fields }).end(content(name));
}

async function answer(request, response) {
  const url = new URL(request.url, 'http://here');
  const id = url.searchParams.get('id');
  const text = (body, status = 200) => {
    response.writeHead(status, { 'content-type': 'text/plain', 'x-version': request.httpVersion });
    response.end(body);
  };
  if (url.pathname.startsWith('/assets/')) return asset(url.pathname, request, response);
  switch (url.pathname) {
    case '/hello':
      return text('hello\n');
    case '/page.html':
    case '/assets.html':
      response.writeHead(200, { 'content-type': 'text/html' });
      return response.end(readFileSync(new URL(`..${url.pathname}`, import.meta.url)));
    case '/seen':
      return text(JSON.stringify(Object.fromEntries(seen)));
    case '/report':
      if (request.method === 'POST') report = (await body(request)).toString();
      return text(report);
    case '/headers':
      return text(JSON.stringify(request.headers));
    case '/upload': {
      const all = await body(request);
      return text(`${all.length} ${createHash('sha256').update(all).digest('hex')}\n`);
    }
    case '/echo': {
      // Part by part, and a trailer at the end.
      const hash = createHash('sha256');
      response.writeHead(200, { 'content-type': 'application/octet-stream', trailer: 'x-sum' });
      for await (const part of request) {
        hash.update(part);
        if (!response.write(part)) await new Promise((done) => response.once('drain', done));
      }
      const trailers = { 'x-sum': hash.digest('hex') };
      if (request.trailers['x-asked']) trailers['x-asked'] = request.trailers['x-asked'];
      response.addTrailers(trailers);
      return response.end();
    }
    case '/hints':
      response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
      return setTimeout(() => text('hinted\n'), 50);
    case '/large':
      response.writeHead(200);
      for (let part = 0; part < 64; part++) {
        const go = response.write(Buffer.alloc(256 * 1024, part));
        if (!go) await new Promise((done) => response.once('drain', done));
      }
      return response.end();
    // One event at a time: the next is sent once somebody asks for it.
    case '/events':
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
      streams.set(id, { response, count: 1, closed: false });
      response.on('close', () => { streams.get(id).closed = true; });
      return response.write('id: 1\ndata: event 1\n\n');
    case '/next': {
      const stream = streams.get(id);
      stream.count += 1;
      stream.response.write(`id: ${stream.count}\ndata: event ${stream.count}\n\n`);
      return text('sent\n');
    }
    case '/closed':
      return text(`${streams.get(id)?.closed}\n`);
    default:
      return text('no such page\n', 404);
  }
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

const handle = (request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    response.destroy?.();
  });
};

let server;
if (kind === 'http1') {
  server = http.createServer(handle);
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
    perMessageDeflate: true,
  });
  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url, 'http://here');
    if (url.pathname !== '/ws') {
      return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n');
    }
    sockets.handleUpgrade(request, socket, head, (one) => {
      one.on('message', (data, binary) => {
        if (!binary && data.toString().startsWith('close ')) {
          return one.close(Number(data.toString().slice(6)), 'as asked');
        }
        one.send(data, { binary });
      });
      one.on('error', (error) => console.error('ws', error.message));
    });
  });
} else if (kind === 'http2') {
  const tls = { cert: readFileSync(cert), key: readFileSync(key), allowHTTP1: true };
  server = http2.createSecureServer(tls, handle);
} else {
  server = http2.createServer(handle);
}
server.listen(Number(port), '127.0.0.1');
