"""Keys, tokens of a wanted length, and the sessions that they name, in SQLite or Redis."""

import base64
import contextlib
import itertools
import json
import os
import socket
import sqlite3
import subprocess
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from . import machine

LENGTH = 716
LIFE = 86_400
SESSION_DATABASE = 9


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """A key pair as files, in the form that every contender reads."""

    def __init__(self, folder, algorithm="ES256", name="key"):
        self.algorithm, self.name = algorithm, name
        self.key = (ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256"
                    else rsa.generate_private_key(65_537, 2_048))
        self.private, self.public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
        self.private.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                        serialization.NoEncryption()))
        self.private.chmod(0o600)
        self.public.write_bytes(self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

    def sign(self, data):
        if self.algorithm == "RS256":
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def jwk(self):
        numbers = self.key.public_key().public_numbers()
        size = lambda number: number.to_bytes((number.bit_length() + 7) // 8, "big")
        if self.algorithm == "RS256":
            return {"kty": "RSA", "alg": "RS256", "kid": self.name, "n": b64(size(numbers.n)), "e": b64(size(numbers.e))}
        return {"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": self.name,
                "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big"))}

    def jwks(self):
        return json.dumps({"keys": [self.jwk()]})

    def token(self, claims):
        header = {"typ": "JWT", "alg": self.algorithm, "kid": self.name}
        signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{b64(self.sign(signed.encode()))}"


def claims(number, now, sid=None, issuer="prismaticain"):
    user = f"user-{number:07}"
    found = {"iss": issuer, "sub": user, "iat": now, "exp": now + LIFE, "preferred_username": f"alice.{number:07}",
             "email": f"alice.{number:07}@example.com", "scope": "user:read user:write report:read",
             "roles": ["admin", "editor"]}
    if sid:
        found["sid"] = sid
    return found


def padding_for(key, claims, length):
    """A claim that nobody reads, with which a token has about that length."""
    room = max(0, (length - len(key.token(claims | {"picture": ""}))) * 3 // 4)
    return {"picture": ("https://img.example.com/" + "0123456789abcdef" * (room // 16 + 1))[:room]}


def insert(path, rows):
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.executemany("INSERT INTO sessions (id, user_id, created, last_seen, expires, claims) VALUES "
                             "(:id, :user_id, :created, :last_seen, :expires, :claims)", rows)


class Tokens:
    """Tokens of different users, each with a session of its own unless told otherwise."""

    def __init__(self, key, count, length=LENGTH, issuer="prismaticain", signers=()):
        """Signed by `key`, or by `signers` in turn; `key` opens the model of their sessions."""
        now, signers = int(time.time()) - 5, signers or [key]
        self.key, self.now = key, now
        self.sessions = [b64(os.urandom(16)) for _ in range(count)]
        # All are padded alike: each user's claims are equally long.
        picture = padding_for(signers[0], claims(0, now, self.sessions[0], issuer), length)
        self.texts = [signers[it % len(signers)].token(claims(it, now, sid, issuer) | picture)
                      for it, sid in enumerate(self.sessions)]

    def rows(self, more=0):
        """Their sessions as the store has them, and so many of others."""
        created, expires = self.now * 1_000, (self.now + LIFE) * 1_000
        others = (f"other-{it:016}" for it in range(more))
        for number, sid in enumerate(itertools.chain(self.sessions, others)):
            yield {"id": sid, "user_id": f"user-{number:07}", "created": created, "last_seen": created,
                   "expires": expires, "claims": "{}"}

    def into_sqlite(self, gate, env, more=0):
        """The database is made by the gate's own command, so that its schema is the gate's."""
        mint_one(gate, env, self.key)
        insert(env["DB_URL"].removeprefix("sqlite:"), self.rows(more))

    def into_redis(self, gate, env, port):
        """The fields are those of a session that the gate's own command opened."""
        mint_one(gate, env, self.key)
        redis = Redis(port)
        redis.call("SELECT", SESSION_DATABASE)
        model = next(it for it in redis.call("KEYS", "portcullis:session:*"))
        fields = redis.call("HGETALL", model)
        names = dict(zip(fields[::2], fields[1::2]))
        commands = []
        for row in self.rows():
            record = names | {b"user": row["user_id"], b"created": row["created"], b"expires": row["expires"]}
            record |= {b"last_seen": row["last_seen"]} if b"last_seen" in names else {}
            commands.append(["HSET", f"portcullis:session:{row['id']}", *(it for pair in record.items() for it in pair)])
        redis.pipeline(commands)


class WithoutSessions:
    """Tokens with these claims, whose sessions nobody looks up."""

    sessions = ()

    def __init__(self, key, claims):
        self.texts = [key.token(it) for it in claims]


def mint_one(gate, env, key):
    done = subprocess.run([gate, "token", "mint", "--user", "model"], capture_output=True, text=True,
                          env={**env, "ALGORITHM": key.algorithm, "PRIVATE_KEY_FILE": str(key.private)})
    if done.returncode:
        machine.die(f"token mint: {done.stderr}")
    return done.stdout.strip()


class Redis:
    """As much of a client as filling a database takes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def call(self, *words):
        self.socket.sendall(encode(words))
        return self.answer()

    def pipeline(self, commands, batch=500):
        for at in range(0, len(commands), batch):
            part = commands[at:at + batch]
            self.socket.sendall(b"".join(map(encode, part)))
            for _ in part:
                self.answer()

    def answer(self):
        line = self.file.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            machine.die(f"redis: {rest.decode()}")
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return rest


def encode(words):
    words = [it if isinstance(it, bytes) else str(it).encode() for it in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(it), it) for it in words)
