// An independent authorization server at Salesforce's paths: code + PKCE, rotating refresh tokens, revocation.
// Usage: node peer.mjs PORT REDIRECT_URI
import Provider from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(2);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'contract-client',
    client_secret: 'contract-secret',
    redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_post',
  }],
  scopes: ['openid', 'offline_access', 'api'],
  pkce: { methods: ['S256'], required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  features: {
    devInteractions: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true },
  },
  routes: {
    authorization: '/services/oauth2/authorize',
    token: '/services/oauth2/token',
    revocation: '/services/oauth2/revoke',
    introspection: '/services/oauth2/introspect',
    userinfo: '/services/oauth2/userinfo',
  },
  cookies: { keys: ['contract'] },
});

// Salesforce asks for no client authentication at its revocation endpoint (RFC 7009 does): the peer is told who asks.
provider.use(async (context, next) => {
  if (context.path === '/services/oauth2/revoke') {
    context.req.headers.authorization = `Basic ${Buffer.from('contract-client:contract-secret').toString('base64')}`;
  }
  await next();
});

provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));
