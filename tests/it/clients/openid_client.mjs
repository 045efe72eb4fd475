// openid-client, as it comes from npm, on every way through the issuer.

import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const parts = JSON.parse(readFileSync(process.argv[2], "utf8"));
// The package is installed outside the repository, in the folder that the tests were given.
const client = await import(pathToFileURL(createRequire(`${parts.node}/`).resolve("openid-client")));

const user = { username: parts.username, password: parts.password };
const both = "user:read user:write";
const done = (step) => console.log(JSON.stringify({ step }));
const words = (text) => text.split(" ").sort();

/** A configuration by discovery. Everything is on loopback, hence without TLS. */
const discover = (id, authentication) =>
  client.discovery(new URL(parts.issuer), id, undefined, authentication, {
    algorithm: "oauth2",
    execute: [client.allowInsecureRequests],
  });

/** What the gate says of an access token. */
async function gate(config, token) {
  const url = new URL(`${parts.gate}/validate_request`);
  try {
    return (await client.fetchProtectedResource(config, token.access_token, url, "GET")).status;
  } catch (error) {
    // The library reads the challenge of a 401 and throws it.
    assert.ok(error instanceof client.WWWAuthenticateChallengeError, error);
    assert.equal(error.cause[0].scheme, "bearer");
    return error.status;
  }
}

const password = (config, scope = both) =>
  client.genericGrantRequest(config, "password", { ...user, scope });

/** The call must fail with this code of RFC 6749, section 5.2. */
const refused = (call, error) =>
  assert.rejects(call, (found) => {
    assert.ok(found instanceof client.ResponseBodyError, found);
    assert.deepEqual([found.error, found.status], [error, 400]);
    return true;
  });

/** The call must fail since the client is not who it says: the library throws the challenge, not the body. */
const unknownClient = (call) =>
  assert.rejects(call, (found) => {
    assert.ok(found instanceof client.WWWAuthenticateChallengeError, found);
    assert.deepEqual([found.status, found.cause[0].scheme], [401, "basic"]);
    return true;
  });

const config = await discover(parts.client_id, client.ClientSecretBasic(parts.client_secret));
const server = config.serverMetadata();
assert.equal(server.issuer, parts.issuer);
for (const name of ["token_endpoint", "revocation_endpoint", "introspection_endpoint", "jwks_uri"]) {
  assert.ok(server[name].startsWith(`${parts.issuer}/`), `${name}: ${server[name]}`);
}
done("discovery");

const posting = await discover(parts.client_id, client.ClientSecretPost(parts.client_secret));
for (const [method, by] of [["client_secret_basic", config], ["client_secret_post", posting]]) {
  const token = await password(by);
  assert.deepEqual(words(token.scope), words(both));
  assert.equal(token.token_type, "bearer");
  assert.equal(token.token, token.access_token);
  assert.ok(token.expiresIn() > 0 && token.user_id && token.refresh_token, "the answer");
  assert.equal(await gate(by, token), 200);
  done(`password, ${method}`);
}

{
  const token = await client.clientCredentialsGrant(config, { scope: "user:read" });
  assert.deepEqual([token.scope, token.refresh_token], ["user:read", undefined]);
  assert.equal(await gate(config, token), 200);
  done("client_credentials, client_secret_basic");
}

{
  const der = createPrivateKey(readFileSync(parts.robot_key)).export({ type: "pkcs8", format: "der" });
  const kind = { name: "ECDSA", namedCurve: "P-256" };
  const key = await crypto.subtle.importKey("pkcs8", der, kind, false, ["sign"]);
  const robot = await discover(parts.robot_id, client.PrivateKeyJwt(key));
  const token = await client.clientCredentialsGrant(robot, { scope: "user:read" });
  assert.equal(await gate(robot, token), 200);
  const { privateKey } = await crypto.subtle.generateKey(kind, false, ["sign", "verify"]);
  const stranger = await discover(parts.robot_id, client.PrivateKeyJwt(privateKey));
  await unknownClient(() => client.clientCredentialsGrant(stranger));
  done("client_credentials, private_key_jwt");
}

{
  const wrong = { ...user, password: "not the password" };
  await refused(() => client.genericGrantRequest(config, "password", wrong), "invalid_grant");
  await refused(() => password(config, "root"), "invalid_scope");
  for (const wrong of [client.ClientSecretBasic("not the secret"), client.ClientSecretPost("not the secret")]) {
    const stranger = await discover(parts.client_id, wrong);
    await unknownClient(() => password(stranger));
  }
  done("refusals");
}

const first = await password(config);
const second = await client.refreshTokenGrant(config, first.refresh_token);
assert.notEqual(second.refresh_token, first.refresh_token);
assert.deepEqual(words(second.scope), words(both));
assert.equal(await gate(config, second), 200);
done("refresh_token");

{
  const active = await client.tokenIntrospection(config, second.access_token);
  assert.deepEqual([active.active, active.username, active.client_id], [true, user.username, parts.client_id]);
  assert.equal(active.sub, second.user_id);
  const rubbish = await client.tokenIntrospection(config, "rubbish");
  assert.deepEqual({ ...rubbish }, { active: false });
  done("introspection");
}

await refused(() => client.refreshTokenGrant(config, first.refresh_token), "invalid_grant");
assert.equal(await gate(config, second), 401);
await refused(() => client.refreshTokenGrant(config, second.refresh_token), "invalid_grant");
done("reuse");

for (const kind of ["refresh_token", "access_token"]) {
  const token = await password(config);
  assert.equal(await gate(config, token), 200);
  await client.tokenRevocation(config, token[kind], { token_type_hint: kind });
  assert.equal(await gate(config, token), 401);
  const after = await client.tokenIntrospection(config, token.access_token);
  assert.deepEqual({ ...after }, { active: false });
  await refused(() => client.refreshTokenGrant(config, token.refresh_token), "invalid_grant");
  done(`revocation, ${kind}`);
}
