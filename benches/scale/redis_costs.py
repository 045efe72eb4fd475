"""Costs of Redis: of a revocation, of telling it to a gate, and of remembering a session."""

import contextlib
import pathlib
import re
import subprocess
import sys
import time

from harness import gate, machine, tokens
from harness.process import Server, free_port

SCRIPTS = machine.ROOT / "src/session/redis/scripts.rs"
GATES = 100
BATCH = 100


def measure(bench, quick):
    changes = 2_000 if quick else 20_000
    with redis(bench) as server:
        client = tokens.Redis(server.port)
        client.call("SELECT", tokens.SESSION_DATABASE)
        found = memory(bench, client, server.port, 2_000 if quick else 100_000)
        alone = revocations(server, client, changes, 0, BATCH)
        batched = revocations(server, client, changes, GATES, BATCH)
        single = revocations(server, client, changes // 4, GATES, 1)
        single_alone = revocations(server, client, changes // 4, 0, 1)
        published = revocations(server, client, changes // 4, GATES, BATCH, "pubsub")
    # A batch of n changes costs each gate one write and n keys.
    one, many = (single - single_alone) / GATES, (batched - alone) / GATES
    write = (one - many) * BATCH / (BATCH - 1)
    return found | {
        "redis_revocation_us": round(alone, 2),
        "redis_push_write_us": round(write, 2),
        "redis_push_key_us": round(one - write, 3),
        "redis_publish_us": round((published - alone) / GATES, 2),
    }


@contextlib.contextmanager
def redis(bench):
    folder, port = bench.folder(), free_port()
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
    with Server("redis", command, [f"127.0.0.1:{port}"], folder) as server:
        server.port = port
        yield server


def revocations(server, client, count, gates, batch, mode="tracking"):
    """The microseconds of the server for one revocation by the product's own script, told to so many gates."""
    ids = [f"{number:022}" for number in range(count)]
    client.pipeline([["HSET", f"portcullis:session:{it}", "user", "alice", "claims", "{}"] for it in ids])
    script = client.call("SCRIPT", "LOAD", revoke_script()).decode()
    channel = f"portcullis:changes:{tokens.SESSION_DATABASE}"
    with subscribers(server.port, gates, mode):
        before = server.cpu()
        for at in range(0, count, batch):
            commands = []
            for it in ids[at:at + batch]:
                key = f"portcullis:session:{it}"
                commands += [["EVALSHA", script, 1, key], ["PUBLISH", channel, key]]
            client.pipeline(commands, 2 * batch)
        time.sleep(0.2)
        return (server.cpu() - before) / count / 1e3


def revoke_script():
    found = re.search(r'const REVOKE: &str = r"\n(.*?)";', SCRIPTS.read_text(), re.S)
    return found.group(1) if found else machine.die(f"no REVOKE in {SCRIPTS}")


@contextlib.contextmanager
def subscribers(port, count, mode):
    if not count:
        yield
        return
    program = pathlib.Path(__file__).with_name("subscribers.py")
    command = ["taskset", "-c", machine.LOAD_CORE, sys.executable, program, port, tokens.SESSION_DATABASE, count, mode]
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "subscribed\n":
        machine.die("the subscribers are not subscribed")
    try:
        yield
    finally:
        received = process.communicate()[0]
    if int(received) < 1_000:
        machine.die(f"the subscribers got {received} bytes")


def memory(bench, client, port, copies):
    """The bytes of the server for each session, with all that belongs to it, as the product's own command wrote it."""
    env = {"ALGORITHM": "ES256", "DB_URL": f"redis://127.0.0.1:{port}", "DATA_DIR": str(bench.folder())}
    tokens.mint_one(bench.gate, env, bench.key)
    session = client.call("KEYS", "portcullis:session:*")[0].decode()
    index = client.call("KEYS", "portcullis:user:*")[0].decode()
    commands = []
    for number in range(copies):
        commands += [["COPY", session, f"portcullis:session:{number:022}"], ["COPY", index, f"portcullis:user:user-{number:07}"],
                     ["SET", f"portcullis:seen:{number:022}", "1800000000000", "PX", "86400000"]]
    before = used(client)
    client.pipeline(commands)
    sessions = (used(client) - before) / copies
    before = used(client)
    client.pipeline([["SET", f"portcullis:not-before:user-{number:07}", "1800000000000"] for number in range(copies)])
    ended = (used(client) - before) / copies
    client.call("FLUSHDB")
    return {"session_bytes": round(sessions), "ended_user_bytes": round(ended)}


def used(client):
    return int(re.search(rb"used_memory:(\d+)", client.call("INFO", "memory")).group(1))
