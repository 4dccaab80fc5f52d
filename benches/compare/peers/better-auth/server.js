// better-auth with its JWT and API key plugins, everything in memory: a session becomes JWTs at /api/auth/token, an API key at
// /exchange, by what the plugins give a server for that: verify the key, sign a token.
import { createServer } from 'node:http';
import { betterAuth } from 'better-auth';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';
import { apiKey } from '@better-auth/api-key';
import { memoryAdapter } from 'better-auth/adapters/memory';

const [port, algorithm] = process.argv.slice(2);
const origin = `http://127.0.0.1:${port}`;
const auth = betterAuth({
  baseURL: origin,
  secret: 'a-secret-of-a-benchmark-that-is-long-enough',
  database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [], apikey: [] }),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [jwt({ jwks: { keyPairConfig: { alg: algorithm } } }), apiKey({ rateLimit: { enabled: false } })],
});

const answer = (response, status, body) => {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(JSON.stringify(body));
};

async function exchange(request, response) {
  const key = request.headers.authorization?.replace('Bearer ', '') ?? '';
  const found = await auth.api.verifyApiKey({ body: { key, permissions: { bookings: ['read'] } } });
  if (!found.valid) return answer(response, 401, { error: 'invalid_api_key' });
  const payload = { sub: found.key.id, client_id: found.key.id, scope: 'bookings:read', jti: crypto.randomUUID() };
  const { token } = await auth.api.signJWT({ body: { payload } });
  answer(response, 200, { access_token: token, token_type: 'Bearer', expires_in: 900, scope: payload.scope });
}

// The key that is exchanged, for the one user that there is.
async function create(request, response) {
  const session = await auth.api.getSession({ headers: new Headers({ cookie: request.headers.cookie }) });
  const made = await auth.api.createApiKey({ body: { userId: session.user.id, permissions: { bookings: ['read'] } } });
  answer(response, 201, { key: made.key });
}

const handle = toNodeHandler(auth);
const own = { '/exchange': exchange, '/create': create };
createServer((request, response) => {
  const work = own[request.url];
  if (!work) return handle(request, response);
  work(request, response).catch((error) => answer(response, 500, { error: String(error) }));
}).listen(Number(port), '127.0.0.1');
