// Logins of better-auth with its JWT plugin, everything in memory; a session is exchanged for JWTs at /api/auth/token.
import { createServer } from 'node:http';
import { betterAuth } from 'better-auth';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';
import { memoryAdapter } from 'better-auth/adapters/memory';

const [port, algorithm] = process.argv.slice(2);
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}`,
  secret: 'a-secret-of-a-benchmark-that-is-long-enough',
  database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [jwt({ jwks: { keyPairConfig: { alg: algorithm } } })],
});
createServer(toNodeHandler(auth)).listen(Number(port), '127.0.0.1');
