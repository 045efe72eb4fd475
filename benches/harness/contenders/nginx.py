"""nginx, with `auth_request` as examples/nginx writes it."""

from .. import machine
from ..process import Server, free_port

# nginx answers itself, in the phase behind that of auth_request.
CONFIGURATION = """daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {upstream}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            {auth}
            empty_gif;
        }}
        {asks}
    }}
}}
"""
UPSTREAM = "upstream asked {{ server {server}; {keepalive} }}"
AUTH = "auth_request /_asked;\n" + "\n".join(
    f"            auth_request_set $auth_{name} $upstream_http_x_auth_{name};"
    for name in ("user", "username", "email", "scopes", "roles", "session", "issuer"))
ASKS = """location = /_asked {
            internal;
            %s
            proxy_pass http://asked/validate_request;
            proxy_pass_request_body    off;
            proxy_pass_request_headers off;
            proxy_set_header Content-Length    "";
            proxy_set_header Host              $host;
            proxy_set_header Authorization     $http_authorization;
            proxy_set_header Cookie            $http_cookie;
            proxy_set_header X-Request-Id      $request_id;
            proxy_set_header X-Forwarded-For   $remote_addr;
            proxy_set_header X-Original-Method $request_method;
            proxy_set_header X-Original-Proto  $scheme;
            proxy_set_header X-Original-Host   $host;
            proxy_set_header X-Original-URI    $request_uri;
            proxy_set_header Accept            "text/html";
            proxy_set_header User-Agent        $http_user_agent;
        }"""
KEPT = 'proxy_http_version 1.1;\n            proxy_set_header Connection "";'


def start(bench, asked=None, keepalive=True):
    folder, port = bench.folder(), free_port()
    written = {"port": port, "upstream": "", "auth": "", "asks": "", "user": machine.as_root("user root;")}
    if asked:
        written["upstream"] = UPSTREAM.format(server=asked, keepalive="keepalive 64;" if keepalive else "")
        written["auth"], written["asks"] = AUTH, ASKS % (KEPT if keepalive else "")
    (folder / "nginx.conf").write_text(CONFIGURATION.format(**written))
    server = Server("nginx", ["nginx", "-p", folder, "-c", "nginx.conf", "-e", "stderr"], [f"127.0.0.1:{port}"], folder)
    server.address = f"127.0.0.1:{port}"
    return server
