"""Every request of authnzerver's wire, by messages that are made here from its description; or, where a checkout of
authnzerver is named, by its own client, unmodified."""

import base64
import json
import sys
import time
import urllib.error
import urllib.request
from collections import namedtuple

from cryptography.fernet import Fernet

from steps import PARTS, done, same

URL, KEY, CLIENT = PARTS["wire"], PARTS["key"], "192.0.2.7"
GOOD, BETTER = "off with the gryphon's teapot", "a mad hatter pours 12 cups"
Answer = namedtuple("Answer", ["success", "response", "messages", "status_code", "failure_reason"])


def sealed(message, at=None):
    token = Fernet(KEY).encrypt_at_time(json.dumps(message).encode(), int(at or time.time()))
    return base64.b64encode(token)


def post(body):
    request = urllib.request.Request(URL, data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def message(name, body, reqid="r"):
    return {"request": name, "body": body, "reqid": reqid, "client_ipaddr": CLIENT}


def own_request(name, body):
    status, answer = post(sealed(message(name, body)))
    if status != 200:
        return Answer(False, None, [], status, answer.decode())
    whole = json.loads(Fernet(KEY).decrypt(base64.b64decode(answer)))
    same(whole["reqid"], "r", "the id of the request")
    same(whole["response"]["success"], whole["success"], "success in the response")
    return Answer(whole["success"], whole["response"], whole["messages"], status, whole.get("failure_reason"))


def their_request():
    sys.path.insert(0, PARTS["authnzerver"])
    from authnzerver.client import Authnzerver

    client = Authnzerver(URL, KEY)

    def request(name, body):
        answer = client.request(name, {**body, "client_ipaddr": CLIENT})
        return Answer(answer.success, answer.response, answer.messages, answer.status_code, answer.failure_reason)

    return request


REQUEST = their_request() if PARTS.get("authnzerver") else own_request


def ask(name, succeeds=True, **body):
    answer = REQUEST(name, body)
    same(answer.status_code, 200, f"the status of {name}: {answer}")
    same(answer.success, succeeds, f"{name}: {answer}")
    if succeeds:
        done(name)
    return answer.response


def session_of(user):
    return ask(
        "session-new",
        ip_address=CLIENT,
        user_agent="tests/1",
        user_id=user,
        expires="2099-01-01T00:00:00.000000",
        extra_info_json={"theme": "dark"},
    )["session_token"]


def sign_up(name):
    email = f"{name}@example.org"
    made = ask("user-new", full_name=f"{name} Example", email=email, password=GOOD, extra_info={"team": "blue"})
    verified = ask("user-set-emailverified", email=email)
    same((verified["user_id"], verified["is_active"]), (made["user_id"], True), "who is verified")
    return made["user_id"], email


def login(email, password, succeeds=True):
    anonymous = session_of(None)
    answer = ask("user-login", succeeds, session_token=anonymous, email=email, password=password)
    ask("session-exists", False, session_token=anonymous)
    return answer


def of_accounts():
    alice, email = sign_up("alice")
    ask("user-set-emailsent", email=email, email_type="signup")
    login(email, "wrong", succeeds=False)
    user = login(email, GOOD)
    same((user["user_id"], user["user_role"]), (alice, "authenticated"), "who logged in")
    token = session_of(alice)
    info = ask("session-exists", session_token=token)["session_info"]
    same((info["user_id"], info["email"], info["extra_info_json"]), (alice, email, {"theme": "dark"}), "the session")
    edited = ask("internal-session-edit", target_session_token=token, update_dict={"page": 3, "theme": "__delete__"})
    same(edited["session_info"]["extra_info_json"], {"page": 3}, "what is kept in the session")
    ask("user-passcheck", session_token=token, password=GOOD)
    ask("user-passcheck", False, session_token=token, password="wrong")
    ask("user-passcheck-nosession", email=email, password=GOOD)
    same(ask("user-list", user_id=alice)["user_info"][0]["user_id"], alice, "the list")
    same(ask("user-lookup-email", email=email)["user_info"]["user_id"], alice, "who has the e-mail")
    found = ask("user-lookup-match", by="extra_info", match={"team": "blue"})["user_info"]
    same([user["user_id"] for user in found], [alice], "who matches")
    ask("user-validatepass", password=BETTER, email=email, full_name="Alice")
    ask("user-validatepass", False, password="alice@example.org", email=email, full_name="Alice")
    return alice, email, token


def of_permissions(alice):
    target = {"target_name": "object", "target_owner": alice, "target_visibility": "private", "target_sharedwith": ""}
    ask("user-check-access", user_id=alice, user_role="authenticated", action="view", **target)
    ask("user-check-access", False, user_id=2, user_role="anonymous", action="view", **target)
    limit = {"user_id": alice, "user_role": "authenticated", "limit_name": "max_requests_per_minute"}
    ask("user-check-limit", value_to_check=1, **limit)
    ask("user-check-limit", False, value_to_check=10**9, **limit)


def of_keys(alice, token):
    who = {"user_id": alice, "user_role": "authenticated"}
    what = {"issuer": "tests", "audience": "api.test", "subject": "/reports", "apiversion": 1, "ip_address": CLIENT}
    made = ask(
        "apikey-new", **who, **what, expires_days=7, not_valid_before=0, user_agent="tests/1", session_token=token
    )
    key = json.loads(made["apikey"])
    ask("apikey-verify", apikey_dict=key, **who)
    for claim, other in [("aud", "other.test"), ("sub", "/other"), ("ipa", "192.0.2.8"), ("exp", key["iat"])]:
        ask("apikey-verify", False, apikey_dict={**key, claim: other}, **who)
    ask("apikey-revoke", apikey_dict=key, **who)
    ask("apikey-verify", False, apikey_dict=key, **who)

    times = {"expires_seconds": 600, "not_valid_before": 0, "refresh_expires": 6000, "refresh_nbf": 0}
    made = ask("apikey-new-nosession", **who, **what, **times)
    key, refresh = json.loads(made["apikey"]), made["refresh_token"]
    ask("apikey-verify-nosession", apikey_dict=key, **who)
    again = {**who, **times, "ip_address": CLIENT}
    made = ask("apikey-refresh-nosession", apikey_dict=key, refresh_token=refresh, **again)
    new = json.loads(made["apikey"])
    ask("apikey-verify-nosession", apikey_dict=new, **who)
    ask("apikey-verify-nosession", False, apikey_dict=key, **who)
    ask("apikey-refresh-nosession", False, apikey_dict=key, refresh_token=refresh, **again)
    ask("apikey-verify-nosession", False, apikey_dict=new, **who)
    keys = [json.loads(ask("apikey-new-nosession", **who, **what, **times)["apikey"]) for _ in range(3)]
    ask("apikey-revoke-nosession", apikey_dict=keys[0], **who)
    same(ask("apikey-revokeall-nosession", apikey_dict=keys[1], **who)["revoked_keys"], 2, "how many were revoked")


def of_passwords(alice, email, token):
    change = {"user_id": alice, "full_name": "Alice", "email": email}
    other = session_of(alice)
    ask("user-changepass", session_token=token, current_password=GOOD, new_password=BETTER, **change)
    ask("session-exists", session_token=token)
    ask("session-exists", False, session_token=other)
    ask("user-changepass-nosession", current_password=BETTER, new_password=GOOD, **change)
    ask("user-resetpass", email_address=email, new_password=BETTER, session_token=session_of(None))
    ask("user-resetpass-nosession", email_address=email, new_password=GOOD, required_active=True)


def of_administration(alice, email):
    root, _ = sign_up("root")
    ask("internal-user-edit", target_userid=root, update_dict={"user_role": "superuser"})
    admin = {"user_id": root, "user_role": "superuser", "session_token": session_of(root)}
    edited = ask("user-edit", target_userid=alice, update_dict={"full_name": "Alice Liddell"}, **admin)
    same(edited["user_info"]["full_name"], "Alice Liddell", "the new name")
    token = session_of(alice)
    ask("user-lock", target_userid=alice, action="lock", **admin)
    ask("session-exists", False, session_token=token)
    ask("user-lock", target_userid=alice, action="unlock", **admin)
    ask("internal-user-lock", target_userid=alice, action="lock")
    ask("internal-user-lock", target_userid=alice, action="unlock")
    token, others = session_of(alice), [session_of(alice), session_of(alice)]
    ask("session-delete", session_token=others[0])
    ask("session-delete-userid", session_token=token, user_id=alice, keep_current_session=True)
    ask("session-exists", session_token=token)
    ask("user-logout", session_token=token, user_id=alice)
    ask("user-delete", email=email, user_id=alice, password=GOOD)
    ask("internal-user-delete", target_userid=alice)


def of_mails():
    made = ask("user-new", full_name="Bob", email="bob@example.org", password=GOOD)
    mail = {
        "session_token": session_of(None),
        "server_name": "Tests",
        "server_baseurl": "https://tests.test",
        "verification_token": "token",
        "verification_expiry": 900,
    }
    signup = {"email_address": "bob@example.org", "created_info": made, "server_verify_url": "/verify"}
    ask("user-sendemail-signup", False, **signup, **mail)
    ask("user-sendemail-forgotpass", False, email_address="bob@example.org", password_forgot_url="/forgot", **mail)


def of_refusals():
    name, body = "session-exists", {"session_token": "nobody's"}
    good = sealed(message(name, body))
    same(post(good)[0], 200, "a message")
    same(post(good)[0], 401, "the same again")
    same(post(sealed(message(name, body), time.time() - 61))[0], 401, "an old one")
    same(post(base64.b64encode(Fernet(Fernet.generate_key()).encrypt(b"{}")))[0], 401, "one of another key")
    same(post(sealed(message("echo", body)))[0], 400, "echo")
    same(post(b"!")[0], 401, "garbage")
    done("refusals")


alice_id, alice_email, alice_token = of_accounts()
of_permissions(alice_id)
of_keys(alice_id, alice_token)
of_passwords(alice_id, alice_email, alice_token)
of_administration(alice_id, alice_email)
of_mails()
of_refusals()
