"""Traefik, with `forwardAuth` as examples/traefik writes it. What answers is its own service `ping`."""

import json
import time

from .. import gate, machine, questions
from ..process import Server, free_port

IDENTITY = [f"X-Auth-{it}" for it in ("User", "Username", "Email", "Scopes", "Roles", "Session", "Issuer")]


def start(bench, asked=None):
    folder, port = bench.folder(), free_port()
    router = {"rule": "PathPrefix(`/`)", "entryPoints": ["web"], "service": "ping@internal"}
    http = {"routers": {"app": router}}
    if asked:
        router["middlewares"] = ["signed-in"]
        ask = {"address": f"http://{asked}/validate_request/traefik", "trustForwardHeader": False,
               "authRequestHeaders": ["Authorization", "Cookie", "X-Request-Id", "Accept", "User-Agent"],
               "authResponseHeaders": IDENTITY}
        http["middlewares"] = {"signed-in": {"forwardAuth": ask}}
    static = {"global": {"checkNewVersion": False, "sendAnonymousUsage": False}, "log": {"level": "ERROR"},
              "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
              "ping": {"manualRouting": True}, "providers": {"file": {"filename": str(folder / "dynamic.yml"), "watch": False}}}
    # JSON is YAML too.
    (folder / "dynamic.yml").write_text(json.dumps({"http": http}))
    (folder / "traefik.yml").write_text(json.dumps(static))
    env = {"PATH": machine.PATH, "HOME": str(folder), "GOMAXPROCS": "1"}
    command = [machine.program("traefik"), f"--configFile={folder}/traefik.yml"]
    server = Server("traefik", command, [f"127.0.0.1:{port}"], folder, env=env)
    server.address = f"127.0.0.1:{port}"
    wait_for_routes(server)
    return server


def wait_for_routes(server):
    """It listens before it has read its routes, and answers 404 until then."""
    end = time.monotonic() + 10
    with gate.Asker(server.address) as asker:
        while asker.status(questions.http1("none")) == 404:
            if time.monotonic() > end:
                server.lost("has no routes")
            time.sleep(0.05)
