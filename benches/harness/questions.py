"""Requests as bytes, in the file format of the load generator: what nginx asks, and what Envoy asks by gRPC."""

import pathlib
import struct

# The load generator writes another number in its place for each request.
COUNTER = "#" * 16
BROWSER = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Cookie", "theme=dark; lang=en; consent=all"),
]
GATEWAY = [
    ("X-Original-URI", "/reports/7?full=1"), ("X-Original-Method", "GET"), ("X-Original-Host", "app.example.com"),
    ("X-Original-Proto", "https"), ("X-Real-IP", "203.0.113.7"), ("X-Forwarded-For", "203.0.113.7"),
    ("X-Request-Id", f"2de0645c285d4f15{COUNTER}"),
]
HOST = "app.example.com"
AUTH_PATH = "/validate_request"


def record(head, body=b""):
    return struct.pack("<I", len(head)) + head + struct.pack("<I", len(body)) + body


def write(path, records):
    with open(path, "wb") as out:
        out.writelines(records)
    return pathlib.Path(path)


def http1(token, path=AUTH_PATH, fields=(*GATEWAY, *BROWSER), host=HOST, authorization="Bearer"):
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Authorization: {authorization} {token}",
             *(f"{name}: {value}" for name, value in fields)]
    return record(("\r\n".join(lines) + "\r\n\r\n").encode())


def http1_elsewhere(token):
    """Another URL of the client each time."""
    fields = [(name, f"/reports/7?page={COUNTER}" if name == "X-Original-URI" else value) for name, value in (*GATEWAY, *BROWSER)]
    return http1(token, fields=fields)


# --- HTTP/2 --------------------------------------------------------------------------------------------------------


def integer(value, bits, first=0):
    """An integer of HPACK (RFC 7541, section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes([*out, value])


def literal(name, value):
    """A field that no table remembers, without Huffman's code."""
    name, value = name.lower().encode(), value.encode()
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(pseudo, fields):
    return b"".join(literal(name, value) for name, value in [*pseudo, *fields])


def http2(token, path=AUTH_PATH):
    pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", path)]
    return record(block(pseudo, [("authorization", f"Bearer {token}"), *GATEWAY, *BROWSER]))


def varint(value):
    return integer(value, 7) if value < 128 else bytes([value % 128 | 128]) + varint(value // 128)


def message(field, payload):
    payload = payload.encode() if isinstance(payload, str) else payload
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def check(token):
    """Envoy's CheckRequest about a browser's request, with its headers as a list (`header_map`)."""
    fields = [(":authority", HOST), (":path", "/reports/7?full=1"), (":method", "GET"), (":scheme", "https"),
              *BROWSER, ("authorization", f"Bearer {token}"), ("x-forwarded-for", "203.0.113.7"),
              ("x-forwarded-proto", "https"), ("x-request-id", f"2de0645c285d4f15{COUNTER}")]
    headers = b"".join(message(1, message(1, name.lower()) + message(3, value)) for name, value in fields)
    http = (message(2, "GET") + message(4, "/reports/7?full=1") + message(5, HOST) + message(6, "https")
            + message(13, headers))
    question = message(1, message(4, message(2, http)))
    pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "127.0.0.1"),
              (":path", "/envoy.service.auth.v3.Authorization/Check")]
    body = b"\0" + struct.pack(">I", len(question)) + question
    return record(block(pseudo, [("content-type", "application/grpc"), ("te", "trailers")]), body)
