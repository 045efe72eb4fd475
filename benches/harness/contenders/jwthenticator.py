"""jwthenticator 1.6, which judges as Portcullis does, by `/validate_request`; its database is not asked for that."""

import time
import uuid

from .. import machine, tokens
from ..process import Server, free_port

PROGRAM = "from jwthenticator.server import Server; Server()"


def start(bench, key):
    """Knows an RS256 key."""
    folder, port = bench.folder(), free_port()
    database = f"{folder}/jwthenticator.db"
    env = {"PATH": machine.PATH, "HOME": str(folder), "PORT": str(port), "RSA_PUBLIC_KEY_PATH": str(key.public),
           "DB_URI": f"sqlite:///{database}", "ASYNC_URI": f"sqlite+aiosqlite:///{database}"}
    python = machine.venv("jwthenticator", "jwthenticator.txt") / "bin/python"
    server = Server("jwthenticator", [python, "-c", PROGRAM], [f"127.0.0.1:{port}"], folder, env=env)
    server.address = f"127.0.0.1:{port}"
    return server


def claims(count):
    """Its four claims; it refuses tokens with others."""
    now = int(time.time()) - 5
    return [{"token_id": str(uuid.uuid4()), "identifier": str(uuid.uuid4()), "iat": now, "exp": now + tokens.LIFE}
            for _ in range(count)]
