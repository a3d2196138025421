// A certified OpenID provider (npm oidc-provider) for the end-to-end tests, with its own development pages for login
// and consent. It listens on loopback only. Configuration is one JSON document in $PROVIDER; what the tests do to it
// while it runs goes through POST /control/<what>.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const config = JSON.parse(process.env.PROVIDER);
const accounts = new Map(Object.entries(config.accounts));
const keys = [];

function addKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  keys.unshift({ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: `key-${keys.length + 1}` });
}
addKey();

let handler;
let adapterData = new Map();

// Adapter keeps everything in one map, so that a provider with other keys goes on with the sessions of the one before.
class Adapter {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload) {
    adapterData.set(this.key(id), payload);
    if (payload.uid) adapterData.set(`uid:${payload.uid}`, id);
    if (payload.grantId) {
      const grant = `grant:${payload.grantId}`;
      adapterData.set(grant, [...(adapterData.get(grant) ?? []), this.key(id)]);
    }
  }
  async find(id) { return adapterData.get(this.key(id)); }
  async findByUid(uid) { return this.find(adapterData.get(`uid:${uid}`)); }
  async findByUserCode() { return undefined; }
  async destroy(id) { adapterData.delete(this.key(id)); }
  async consume(id) { adapterData.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async revokeByGrantId(grantId) {
    for (const key of adapterData.get(`grant:${grantId}`) ?? []) adapterData.delete(key);
  }
}

function build() {
  const provider = new Provider(config.issuer, {
    adapter: Adapter,
    clients: config.clients,
    jwks: { keys: keys.map((k) => ({ ...k })) },
    cookies: { keys: ['end-to-end tests only'] },
    pkce: { required: () => true, methods: ['S256'] },
    claims: { openid: ['sub', 'acr'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username', 'roles', 'realm_access'] },
    conformIdTokenClaims: false,
    acrValues: ['urn:test:mfa', 'urn:test:pwd'],
    ttl: { AccessToken: config.accessTokenTTL ?? 3600, IdToken: 3600, RefreshToken: 86400, Session: 86400, Interaction: 600, Grant: 86400, AuthorizationCode: 60 },
    rotateRefreshToken: true,
    issueRefreshToken: async (_ctx, client, code) => client.grantTypeAllowed('refresh_token') && (code.scopes.has('offline_access') || config.alwaysRefresh),
    features: {
      devInteractions: { enabled: true },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      revocation: { enabled: true },
    },
    async findAccount(_ctx, id) {
      const claims = accounts.get(id);
      if (!claims || claims.disabled) return undefined;
      return { accountId: id, claims: async () => ({ sub: id, ...claims }) };
    },
  });
  provider.on('server_error', (_ctx, err) => console.error('server_error', err));
  provider.on('backchannel.error', (_ctx, err) => console.error('backchannel.error', err));
  handler = provider.callback();
}
build();

const control = {
  'rotate-keys': () => { addKey(); build(); },
  'drop-old-keys': () => { keys.length = 1; build(); },
  disable: (q) => { accounts.get(q.get('sub')).disabled = true; },
  enable: (q) => { accounts.get(q.get('sub')).disabled = false; },
  claim: (q) => { accounts.get(q.get('sub'))[q.get('name')] = JSON.parse(q.get('value')); },
};

// frame is what a provider with front-channel logout shows at the end of a session: it has none of its own.
function frame(at) {
  const session = [...adapterData].find(([key, value]) => key.startsWith('Session:') && value.authorizations)?.[1];
  const [{ sid }] = Object.values(session.authorizations);
  const src = `${at}?${new URLSearchParams({ iss: config.issuer, sid })}`;
  return `<!doctype html><title>Signed out</title><iframe src="${src.replaceAll('&', '&amp;')}" onload="document.title = 'Told'"></iframe>`;
}

createServer((req, res) => {
  const url = new URL(req.url, config.issuer);
  if (req.method === 'GET' && url.pathname === '/control/frame') {
    res.setHeader('Content-Type', 'text/html');
    res.end(frame(url.searchParams.get('at')));
    return;
  }
  if (url.pathname.startsWith('/control/')) {
    const act = req.method === 'POST' && control[url.pathname.slice('/control/'.length)];
    if (!act) { res.statusCode = 404; res.end(); return; }
    act(url.searchParams);
    res.statusCode = 204;
    res.end();
    return;
  }
  handler(req, res);
}).listen(Number(new URL(config.issuer).port), '127.0.0.1', () => console.log('listening'));
