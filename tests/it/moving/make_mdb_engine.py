"""Makes documents by mdb-engine's own code, in a MongoDB in memory, and writes them as mongoexport does: what the
mdb-engine-*.json beside this were taken from, and what the import is measured with.

python make_mdb_engine.py PREFIX COUNT     (pip install mdb-engine==0.15.1 mongomock-motor)
"""

import asyncio
import hashlib
import json
import logging
import sys
import uuid

logging.disable(logging.CRITICAL)
from bson import json_util
from mdb_engine.auth import session_manager, shared_users, users
from mongomock_motor import AsyncMongoMockClient

prefix, count = sys.argv[1], int(sys.argv[2])


async def main():
    db = AsyncMongoMockClient()["app"]
    pool = shared_users.SharedUserPool(db, jwt_secret="x" * 40)
    sessions = session_manager.SessionManager(db)
    passwords = {}
    for n in range(count):
        email = f"{'Member' if n % 7 == 0 else 'member'}{n:05}@example.net"
        passwords[email] = f"Passw0rd-{hashlib.sha256(str(n).encode()).hexdigest()[:12]}"
        if n % 2:
            roles = {"shop": ["viewer"], "wiki": ["editor", "admin"]} if n % 3 == 0 else {"shop": ["viewer"]}
            made = await pool.create_user(email, passwords[email], app_roles=roles, is_active=n % 50 != 1)
            await pool.update_user_metadata(email, {"name": f"Name {n}", "phone": f"+{n}"})
        else:
            role = "user" if n % 10 else "admin"
            made = await users.create_app_user(db, email, passwords[email], role=role, collection_name="users")
            if n % 40 == 0:
                await db["users"].update_one({"_id": made["_id"]}, {"$set": {"is_demo": True}})
        if n % 20 == 1:
            device = {"user_agent": "UA", "browser": "B", "os": "O", "device_type": "desktop", "location": None}
            await sessions.create_session(str(made["_id"]), f"device{n}", str(uuid.uuid4()), device, "192.0.2.1")
    for name, file in (("_mdb_engine_shared_users", "shared"), ("users", "users"), ("user_sessions", "sessions")):
        documents = await db[name].find({}).to_list(None)
        with open(f"{prefix}-{file}.json", "w") as out:
            for document in documents:
                options = json_util.RELAXED_JSON_OPTIONS
                out.write(json_util.dumps(document, json_options=options, separators=(",", ":")) + "\n")
    with open(f"{prefix}-passwords.json", "w") as out:
        json.dump(passwords, out)


asyncio.run(main())
