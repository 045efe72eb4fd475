"""Subscribers as gates are: each has a connection on which the server pushes the keys that change. Started as a program.

  subscribers.py PORT DATABASE COUNT tracking|pubsub

Prints a line when all are subscribed, then reads and counts until its standard input ends.
"""

import selectors
import socket
import sys

PREFIXES = ["portcullis:session:", "portcullis:not-before:"]
CHANNEL = "portcullis:changes:"


def words(*texts):
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(it), it.encode()) for it in texts)


def subscribe(port, database, mode):
    connection = socket.create_connection(("127.0.0.1", port))
    lines = [words("HELLO", "3"), words("SELECT", database)]
    if mode == "tracking":
        prefixes = [word for prefix in PREFIXES for word in ("PREFIX", prefix)]
        lines.append(words("CLIENT", "TRACKING", "ON", "BCAST", *prefixes))
    else:
        lines.append(words("SUBSCRIBE", CHANNEL + database))
    connection.sendall(b"".join(lines))
    answer = b""
    end = b"+OK\r\n+OK\r\n" if mode == "tracking" else b"subscribe"
    while end not in answer:
        answer += connection.recv(65_536)
        if b"\r\n-" in answer:
            sys.exit(answer.decode())
    connection.setblocking(False)
    return connection


def main():
    port, database, count, mode = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    selector, received = selectors.DefaultSelector(), 0
    selector.register(sys.stdin, selectors.EVENT_READ)
    for _ in range(count):
        selector.register(subscribe(port, database, mode), selectors.EVENT_READ)
    print("subscribed", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                print(received)
                return
            received += len(key.fileobj.recv(1 << 20))


if __name__ == "__main__":
    main()
