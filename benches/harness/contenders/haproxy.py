"""HAProxy, with its own `jwt_verify` or with the script of examples/haproxy."""

from .. import machine
from ..process import Server, free_port

CONFIGURATION = """global
    maxconn 4096
    nbthread 1
    tune.bufsize 65536
    {load}
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
frontend web
    bind 127.0.0.1:{port}
    {judge}
    http-request return status 200 content-type text/plain string "ok"
{listen}"""
VERIFY = 'http-request deny deny_status 401 unless {{ http_auth_bearer,jwt_verify("ES256","{key}") 1 }}'
ASK = """http-request lua.portcullis http://127.0.0.1:{inner}/validate_request/haproxy
    http-request deny deny_status 503 unless {{ var(txn.portcullis_allowed) -m bool }}"""
LISTEN = """listen gates
    bind 127.0.0.1:{inner}
    retries 0
    server gate {server}
"""


def start(bench, asked=None, verify=False):
    folder, port, inner = bench.folder(), free_port(), free_port()
    written = {"port": port, "load": "", "judge": "", "listen": ""}
    if verify:
        written["judge"] = VERIFY.format(key=bench.key.public)
    if asked:
        written["load"] = f"lua-load-per-thread {machine.ROOT}/examples/haproxy/portcullis.lua"
        written["judge"] = ASK.format(inner=inner)
        written["listen"] = LISTEN.format(inner=inner, server=asked.replace("unix:", "unix@"))
    (folder / "haproxy.cfg").write_text(CONFIGURATION.format(**written))
    server = Server("haproxy", ["haproxy", "-db", "-f", "haproxy.cfg"], [f"127.0.0.1:{port}"], folder)
    server.address = f"127.0.0.1:{port}"
    return server
