"""Authlib's OAuth2Session on every way through the issuer."""

import os

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from steps import PARTS, done, raises, same

ID, SECRET = PARTS["client_id"], PARTS["client_secret"]
USER = {"username": PARTS["username"], "password": PARTS["password"]}
BOTH = "user:read user:write"


def discover():
    url = get_well_known_url(PARTS["issuer"], external=True)
    metadata = AuthorizationServerMetadata(requests.get(url, timeout=20).json())
    same(metadata["issuer"], PARTS["issuer"], "issuer")
    for key in metadata.REGISTRY_KEYS:
        # Authlib takes an empty list of response types for a missing one; there is no authorization endpoint here.
        if key != "response_types_supported":
            getattr(metadata, f"validate_{key}")()
    same(isinstance(metadata["response_types_supported"], list), True, "response_types_supported")
    for method in ("client_secret_basic", "client_secret_post", "private_key_jwt"):
        same(method in metadata["token_endpoint_auth_methods_supported"], True, method)
    for grant in ("password", "client_credentials", "refresh_token"):
        same(grant in metadata["grant_types_supported"], True, grant)
    done("discovery")
    return metadata


METADATA = discover()
TOKEN = METADATA["token_endpoint"]


def session(**more):
    return OAuth2Session(ID, SECRET, token_endpoint=TOKEN, **more)


def gate(token):
    """What the gate says of an access token."""
    header = {"Authorization": f"Bearer {token['access_token']}"}
    return requests.get(f"{PARTS['gate']}/validate_request", headers=header, timeout=20).status_code


def introspect(client, token):
    answer = client.introspect_token(METADATA["introspection_endpoint"], token=token)
    same(answer.status_code, 200, "introspection")
    return answer.json()


def read(token):
    """The access token's header and claims, its signature checked with the published keys."""
    keys = KeySet.import_key_set(requests.get(METADATA["jwks_uri"], timeout=20).json())
    found = jwt.decode(token["access_token"], keys, algorithms=["ES256"])
    same(found.header["typ"], "at+jwt", "typ")
    same(found.claims["iss"], PARTS["issuer"], "iss")
    return found.claims


def password_basic():
    client = session(scope=BOTH)
    token = client.fetch_token(**USER)
    claims = read(token)
    same(set(token["scope"].split()), set(BOTH.split()), "scope")
    same(token["token_type"], "Bearer", "token_type")
    same((token["user_id"], token["token"]), (claims["sub"], token["access_token"]), "tp-auth's")
    same((claims["username"], claims["client_id"]), (PARTS["username"], ID), "claims")
    # What is left when the answer is written, in whole seconds.
    same(0 < token["expires_in"] <= claims["exp"] - claims["iat"], True, "expires_in")
    same(gate(token), 200, "the gate")
    done("password, client_secret_basic")
    return client


def password_post():
    client = session(token_endpoint_auth_method="client_secret_post", scope="user:read")
    token = client.fetch_token(**USER)
    same(token["scope"], "user:read", "narrowed scope")
    same(gate(token), 200, "the gate")
    done("password, client_secret_post")


def client_credentials():
    for method in ("client_secret_basic", "client_secret_post"):
        token = session(token_endpoint_auth_method=method).fetch_token(grant_type="client_credentials")
        same("refresh_token" in token, False, "a refresh token")
        same(read(token)["sub"], f"client:{ID}", "sub")
        same(gate(token), 200, "the gate")
        done(f"client_credentials, {method}")


def private_key_jwt():
    with open(PARTS["robot_key"], "rb") as file:
        key = ECKey.import_key(file.read())
    robot = PARTS["robot_id"]
    client = OAuth2Session(robot, key, token_endpoint=TOKEN, token_endpoint_auth_method="private_key_jwt")
    client.register_client_auth_method(PrivateKeyJWT(TOKEN, alg="ES256"))
    token = client.fetch_token(grant_type="client_credentials", scope="user:read")
    same(read(token)["client_id"], robot, "client_id")
    same(gate(token), 200, "the gate")
    stranger = OAuth2Session(robot, ECKey.generate_key("P-256"), token_endpoint_auth_method="private_key_jwt")
    stranger.register_client_auth_method(PrivateKeyJWT(TOKEN, alg="ES256"))
    refused = lambda: stranger.fetch_token(TOKEN, grant_type="client_credentials")
    raises(OAuthError, refused, error="invalid_client")
    done("client_credentials, private_key_jwt")


def refusals():
    wrong = {**USER, "password": "not the password"}
    raises(OAuthError, lambda: session().fetch_token(**wrong), error="invalid_grant")
    raises(OAuthError, lambda: session(scope="root").fetch_token(**USER), error="invalid_scope")
    stranger = OAuth2Session(ID, "not the secret", token_endpoint=TOKEN)
    raises(OAuthError, lambda: stranger.fetch_token(**USER), error="invalid_client")
    unknown = lambda: session().fetch_token(grant_type="urn:example:unknown", **USER)
    raises(OAuthError, unknown, error="unsupported_grant_type")
    done("refusals")


def refresh(client):
    old = dict(client.token)
    new = client.refresh_token()
    same(new["refresh_token"] != old["refresh_token"], True, "rotation")
    same(set(new["scope"].split()), set(old["scope"].split()), "scope")
    same(new["user_id"], old["user_id"], "user_id")
    same(gate(new), 200, "the gate")
    done("refresh_token")


def refresh_by_itself():
    kept = []
    client = session(scope=BOTH, update_token=lambda token, **_: kept.append(token))
    old = dict(client.fetch_token(**USER))
    # As far as the client knows, its token has just expired.
    client.token = {**old, "expires_at": 1}
    same(client.get(f"{PARTS['gate']}/validate_request").status_code, 200, "the gate")
    same(len(kept), 1, "tokens handed to update_token")
    same(kept[0]["refresh_token"] != old["refresh_token"], True, "rotation")
    done("refresh_token, by itself")


def introspection(client):
    active = introspect(client, client.token["access_token"])
    claims = read(client.token)
    for name in ("sub", "client_id", "exp", "iat", "iss", "jti"):
        same(active[name], claims[name], name)
    same((active["active"], active["username"]), (True, PARTS["username"]), "active")
    same(set(active["scope"].split()), set(BOTH.split()), "scope")
    same(introspect(client, client.token["refresh_token"])["active"], True, "a refresh token")
    same(introspect(client, "rubbish"), {"active": False}, "rubbish")
    done("introspection")


def reuse():
    """A refresh token that comes a second time ends all that grew from it."""
    client = session(scope=BOTH)
    used = client.fetch_token(**USER)["refresh_token"]
    new = dict(client.refresh_token())
    raises(OAuthError, lambda: client.refresh_token(refresh_token=used), error="invalid_grant")
    same(gate(new), 401, "the gate, after a reuse")
    after = lambda: client.refresh_token(refresh_token=new["refresh_token"])
    raises(OAuthError, after, error="invalid_grant")
    done("reuse")


def revocation(client):
    for hint in ("refresh_token", "access_token"):
        token = dict(client.fetch_token(**USER))
        same(gate(token), 200, "the gate, before")
        answer = client.revoke_token(METADATA["revocation_endpoint"], token=token[hint], token_type_hint=hint)
        same(answer.status_code, 200, "revocation")
        same(gate(token), 401, "the gate, after")
        same(introspect(client, token["access_token"]), {"active": False}, "introspection, after")
        raises(OAuthError, lambda: client.refresh_token(refresh_token=token["refresh_token"]), error="invalid_grant")
        done(f"revocation, {hint}")
    answer = client.revoke_token(METADATA["revocation_endpoint"], token="rubbish")
    same(answer.status_code, 200, "revocation of rubbish")


if __name__ == "__main__":
    signed_in = password_basic()
    password_post()
    client_credentials()
    private_key_jwt()
    refusals()
    refresh(signed_in)
    refresh_by_itself()
    introspection(signed_in)
    reuse()
    revocation(signed_in)
