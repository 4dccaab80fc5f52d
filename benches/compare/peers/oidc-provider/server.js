// client_credentials for one client, access tokens as JWT, everything in memory; one process a core.
import cluster from 'node:cluster';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const [port, processes, algorithm] = process.argv.slice(2);

if (cluster.isPrimary) {
  const pair = algorithm === 'EdDSA' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = JSON.stringify({ ...pair.privateKey.export({ format: 'jwk' }), alg: algorithm, use: 'sig' });
  for (let started = 0; started < Number(processes); started += 1) cluster.fork({ JWK: jwk });
} else {
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    jwks: { keys: [JSON.parse(process.env.JWK)] },
    clients: [{
      client_id: 'bench', client_secret: 'a-secret-of-a-benchmark', grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [], token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: algorithm,
    }],
    enabledJWA: { idTokenSigningAlgValues: [algorithm] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://api.example.com',
        getResourceServerInfo: () => ({
          scope: 'bookings:read', audience: 'https://api.example.com', accessTokenTTL: 900, accessTokenFormat: 'jwt',
          jwt: { sign: { alg: algorithm } },
        }),
      },
    },
  });
  provider.listen(Number(port), '127.0.0.1');
}
