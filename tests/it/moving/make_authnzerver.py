"""Makes a database by authnzerver's own code: what authnzerver.sql was taken from, and what the import is measured with.

PYTHONPATH=CLONE-OF-AUTHNZERVER python make_authnzerver.py /ABSOLUTE/authdb.sqlite COUNT passwords.jsonl
(with its requirements.txt: Tornado, SQLAlchemy below 2, argon2-cffi, confusable_homoglyphs, requests)
"""

import base64
import hashlib
import json
import logging
import os
import sys
from datetime import datetime, timedelta

logging.disable(logging.CRITICAL)
from authnzerver import authdb
from authnzerver.actions import admin, apikey, apikey_nosession, email, passwords, session, user
from authnzerver.actions.utils import get_procdb_permjson

# The breach check asks a host on the Internet. Without one authnzerver goes on as "unknown"; so does this.
passwords.check_password_pwned = lambda *_, **__: ("unknown", "", "", None)
GIVEN = "Ada Björn Chidi Désirée Eun-ji Fatima Grace Håkon İpek João Keira Łukasz".split()
FAMILY = ["Lovelace", "O'Brien", "Okafor", "Müller", "Kim", "al-Rashid", "Hopper & Sons", "Dahl"]
KEY = {"issuer": "example", "audience": "api.example.org", "subject": "/data", "apiversion": 1, "not_valid_before": 0}
BASE = {"reqid": 1, "pii_salt": "salt"}


def ask(call, **body):
    answer = call({**BASE, **body})
    assert answer["success"], answer
    return answer


def password(n, attempt):
    text = base64.urlsafe_b64encode(hashlib.sha512(f"{n}-{attempt}".encode()).digest()).decode()
    return text * 5 if n % 1000 == 5 else text[:18]  # 440 characters, of which 256 count


def make(n):
    body = {"full_name": f"{GIVEN[n % 12]} {FAMILY[n // 12 % 8]}", "email": f"person{n:05}@example.org",
            "extra_info": {"city": f"City {n % 97}"}, "public_suffix_list": [".com"]}
    for attempt in range(20):  # some are too much like the name
        secret = password(n, attempt)
        made = user.create_new_user({**BASE, **body, "password": secret}, max_unsafe_similarity=50)
        if made["success"]:
            break
    uid, state, role = made["user_id"], "unverified", "authenticated"
    if n % 10 != 9:
        state = "active"
        ask(email.set_user_emailaddr_verified, email=body["email"])
    if n % 100 == 1:
        role = "staff"
        ask(admin.internal_edit_user, target_userid=uid, update_dict={"user_role": role})
    if n % 200 == 2:
        ask(apikey_nosession.issue_apikey, **KEY, expires_seconds=7776000, user_id=uid, user_role=role,
            ip_address="192.0.2.7", refresh_expires=15552000, refresh_nbf=0)
    if n % 200 == 3:
        expires = (datetime.utcnow() + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%S.%f")
        client = {"ip_address": "192.0.2.8", "user_agent": "Browser/1.0"}
        opened = ask(session.auth_session_new, **client, user_id=uid, expires=expires, extra_info_json={"n": 1})
        ask(apikey.issue_apikey, **KEY, **client, expires_days=90, user_id=uid, user_role=role,
            session_token=opened["session_token"])
    if n % 50 == 0:
        state = "locked"
        ask(admin.internal_toggle_user_lock, target_userid=uid, action="lock")
    return {"email": body["email"], "password": secret, "state": state}


path, count, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if not os.path.exists(path):
    authdb.create_sqlite_authdb(path)
    authdb.initial_authdb_inserts(f"sqlite:///{path}", superuser_email="root@example.org",
                                  superuser_pass="correct horse battery staple")
get_procdb_permjson(override_authdb_path=f"sqlite:///{path}")
with open(out, "a") as file:
    for n in range(count):
        file.write(json.dumps(make(n)) + "\n")
