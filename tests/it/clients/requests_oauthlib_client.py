"""requests-oauthlib, with oauthlib's own strictness: a changed scope is an error to it."""

import os

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from oauthlib.oauth2 import BackendApplicationClient, LegacyApplicationClient
from oauthlib.oauth2.rfc6749 import errors
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from steps import PARTS, done, raises, same

ID, SECRET = PARTS["client_id"], PARTS["client_secret"]
BASIC = HTTPBasicAuth(ID, SECRET)
USER = {"username": PARTS["username"], "password": PARTS["password"]}
BOTH = ["user:read", "user:write"]

METADATA = requests.get(f"{PARTS['issuer']}/.well-known/oauth-authorization-server", timeout=20).json()
TOKEN = METADATA["token_endpoint"]
done("discovery")


def gate(session):
    """The session itself adds its token."""
    return session.get(f"{PARTS['gate']}/validate_request").status_code


def password():
    session = OAuth2Session(client=LegacyApplicationClient(ID, scope=BOTH))
    token = session.fetch_token(TOKEN, client_secret=SECRET, **USER)
    same(set(token.scopes), set(BOTH), "scope")
    same(gate(session), 200, "the gate")
    done("password, Basic")
    posted = OAuth2Session(client=LegacyApplicationClient(ID, scope=BOTH))
    posted.fetch_token(TOKEN, client_secret=SECRET, include_client_id=True, **USER)
    same(gate(posted), 200, "the gate")
    done("password, in the form")
    return session


def client_credentials():
    session = OAuth2Session(client=BackendApplicationClient(ID, scope=["user:read"]))
    token = session.fetch_token(TOKEN, client_secret=SECRET)
    same(token.scope, "user:read", "scope")
    same("refresh_token" in token, False, "a refresh token")
    same(gate(session), 200, "the gate")
    done("client_credentials")


def refusals():
    session = OAuth2Session(client=LegacyApplicationClient(ID))
    wrong = {**USER, "password": "not the password"}
    raises(errors.InvalidGrantError, lambda: session.fetch_token(TOKEN, client_secret=SECRET, **wrong))
    raises(errors.InvalidClientError, lambda: session.fetch_token(TOKEN, client_secret="not the secret", **USER))
    narrow = OAuth2Session(client=LegacyApplicationClient(ID, scope=["root"]))
    raises(errors.InvalidScopeError, lambda: narrow.fetch_token(TOKEN, client_secret=SECRET, **USER))
    done("refusals")


def refresh(session):
    old = dict(session.token)
    new = session.refresh_token(TOKEN, auth=BASIC)
    same(new["refresh_token"] != old["refresh_token"], True, "rotation")
    same(gate(session), 200, "the gate")
    raises(errors.InvalidGrantError, lambda: session.refresh_token(TOKEN, old["refresh_token"], auth=BASIC))
    done("refresh_token")


def refresh_by_itself():
    first = OAuth2Session(client=LegacyApplicationClient(ID, scope=BOTH))
    old = dict(first.fetch_token(TOKEN, client_secret=SECRET, **USER))
    kept = []
    session = OAuth2Session(
        ID,
        token={**old, "expires_in": -30, "expires_at": 1},
        auto_refresh_url=TOKEN,
        auto_refresh_kwargs={"client_id": ID, "client_secret": SECRET},
        token_updater=kept.append,
    )
    same(gate(session), 200, "the gate")
    same(len(kept), 1, "tokens handed to token_updater")
    same(kept[0]["refresh_token"] != old["refresh_token"], True, "rotation")
    done("refresh_token, by itself")
    return session


def introspect(session, token):
    form = {"token": token}
    url = METADATA["introspection_endpoint"]
    return session.post(url, data=form, auth=BASIC, withhold_token=True).json()


def introspection_and_revocation(session):
    access, fresh = session.token["access_token"], session.token["refresh_token"]
    found = introspect(session, access)
    same((found["active"], found["username"]), (True, PARTS["username"]), "introspection")
    done("introspection")
    endpoint = METADATA["revocation_endpoint"]
    url, headers, body = LegacyApplicationClient(ID).prepare_token_revocation_request(
        endpoint, fresh, token_type_hint="refresh_token"
    )
    answer = session.post(url, data=body, headers=headers, auth=BASIC, withhold_token=True)
    same(answer.status_code, 200, "revocation")
    same(gate(session), 401, "the gate, after")
    same(introspect(session, access), {"active": False}, "introspection, after")
    done("revocation")


if __name__ == "__main__":
    signed_in = password()
    client_credentials()
    refusals()
    refresh(signed_in)
    introspection_and_revocation(refresh_by_itself())
