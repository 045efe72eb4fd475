"""Caddy, with `forward_auth` as examples/caddy writes it."""

from .. import machine
from ..process import Server, free_port

CONFIGURATION = """{{
	admin off
	persist_config off
	log {{
		level ERROR
	}}
}}
http://:{port} {{
	bind 127.0.0.1
	route {{
		{judge}
		respond "ok" 200
	}}
}}
"""
JUDGE = """forward_auth {asked} {{
			uri /validate_request/caddy?
			copy_headers X-Auth-User X-Auth-Username X-Auth-Email X-Auth-Scopes X-Auth-Roles X-Auth-Session X-Auth-Issuer
		}}"""


def start(bench, asked=None):
    folder, port = bench.folder(), free_port()
    judge = JUDGE.format(asked=asked.replace("unix:", "unix/")) if asked else ""
    (folder / "Caddyfile").write_text(CONFIGURATION.format(port=port, judge=judge))
    command = [machine.program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    server = Server("caddy", command, [f"127.0.0.1:{port}"], folder, env=environment(folder))
    server.address = f"127.0.0.1:{port}"
    return server


def environment(folder):
    return {"PATH": machine.PATH, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "GOMAXPROCS": "1"}
