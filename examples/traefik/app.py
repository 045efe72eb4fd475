#!/usr/bin/env python3
"""A stand-in for your app: it answers with the identity it was given. Python's own library, nothing else."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS = ("127.0.0.1", 8091)
IDENTITY = ("User", "Username", "Email", "Scopes", "Roles", "Session", "Issuer")


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        lines = [f"{self.command} {self.path}"]
        lines += [f"{name.lower()}: {self.headers.get('X-Auth-' + name, '')}" for name in IDENTITY]
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer


if __name__ == "__main__":
    print("app on http://%s:%d" % ADDRESS, flush=True)
    try:
        ThreadingHTTPServer(ADDRESS, Echo).serve_forever()
    except KeyboardInterrupt:
        pass
