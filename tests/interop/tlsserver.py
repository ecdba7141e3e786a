"""openssl s_server with a certificate of cad's, on a free loopback port, for the time of a test."""

import contextlib
import socket
import subprocess
import time

import authorities

START_S, STOP_S = 15, 5


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


@contextlib.contextmanager
def serving(chain, folder, *more):
    """Its port. @chain: with the key; @more: options of s_server."""
    authorities.store(chain, folder)
    words = ["-cert", "leaf.pem", "-key", "key.pem", "-www", "-quiet", *more]
    if chain.above:
        words += ["-cert_chain", "above.pem"]
    for _ in range(3):          # somebody else may take a free port meanwhile
        port = free_port()
        process = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", *words],
                                   cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=open(folder / "log", "wb"))
        try:
            limit = time.monotonic() + START_S
            while process.poll() is None and not answers(port) and time.monotonic() < limit:
                time.sleep(0.02)
            if process.poll() is not None:
                continue
            yield port
            return
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(STOP_S)
            process.stdin.close()
    raise AssertionError(f"openssl s_server does not start: {(folder / 'log').read_text()}")
