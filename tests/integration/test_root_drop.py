"""Started as root, cad drops to two users (design §2): the parser holds no key file, and the signer can still be replaced.

The users are put into a copy of /etc/passwd that only a mount namespace of the test sees.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import cadtest

CAD_UID, SIGNER_UID = 64123, 64124

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("timed out")


def children(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def uid_of(pid):
    return int(next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                    if line.startswith("Uid:")).split()[2])


def low_port():
    """A free one that is root's alone."""
    for port in range(1023, 600, -1):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port below 1024 is free")


@pytest.fixture()
def daemon():
    # below /var/tmp: pytest's own folders may not be entered by other users
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        shutil.copy("/etc/passwd", folder / "passwd")
        with open(folder / "passwd", "a", encoding="ascii") as passwd:
            passwd.write(f"cad:x:{CAD_UID}:{CAD_UID}::/nonexistent:/usr/sbin/nologin\n"
                         f"cad-signer:x:{SIGNER_UID}:{SIGNER_UID}::/nonexistent:/usr/sbin/nologin\n")
        script = f'mount --bind {folder}/passwd /etc/passwd && exec "$0" --state-dir {folder}/state --https 127.0.0.1:0 --http 127.0.0.1:{low_port()}'
        process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", script, str(cadtest.CAD)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(0.2)
            if process.poll() is not None and "mount" in process.stderr.read():
                pytest.skip("mounts are not allowed here")
            wait_for(lambda: (folder / "state/endpoints.json").exists())
            yield process, folder / "state"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def cactl(state, *words):
    return subprocess.run([str(cadtest.BUILD / "client/cactl"), "--socket", str(state / "cad.sock"), *words],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, check=False)


def processes(keeper):
    """The keeper's children by the user that each became."""
    return {uid_of(pid): pid for pid in children(keeper.pid)}


def test_cad_and_signer_run_as_two_users_and_neither_as_root(daemon):
    keeper, _ = daemon
    assert sorted(processes(keeper)) == [CAD_UID, SIGNER_UID]


def test_cad_cannot_read_the_keys(daemon):
    _, state = daemon
    for name in ("root.key", "int-1.key", "int-2.key"):
        info = (state / "signer/ca" / name).stat()
        assert (info.st_uid, info.st_mode & 0o777) == (SIGNER_UID, 0o600)
    assert (state / "signer").stat().st_mode & 0o777 == 0o700
    assert (state / "cad.db").stat().st_uid == CAD_UID


def test_it_issues_and_health_says_two_users(daemon, tmp_path):
    _, state = daemon
    out = cactl(state, "issue", "nas.lan", "--out", str(tmp_path))
    assert out.returncode == 0, out.stdout
    health = json.loads(cactl(state, "--json", "status").stdout)
    text = json.dumps(health)
    assert "two users" in text


def test_ports_of_roots_are_had_and_the_key_of_https_is_cads(daemon):
    _, state = daemon
    endpoints = json.loads((state / "endpoints.json").read_text())
    port = int(endpoints["http"].rpartition(":")[2])
    assert port < 1024
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"GET /root.crt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    info = (state / "https.pem").stat()
    assert (info.st_uid, info.st_mode & 0o777) == (CAD_UID, 0o600)


def test_a_killed_signer_comes_back_as_its_own_user(daemon, tmp_path):
    keeper, state = daemon
    before = processes(keeper)
    os.kill(before[SIGNER_UID], signal.SIGKILL)
    wait_for(lambda: processes(keeper).get(SIGNER_UID) not in (None, before[SIGNER_UID]))
    wait_for(lambda: cactl(state, "issue", "nas.lan", "--out", str(tmp_path), "--force").returncode == 0)
    assert processes(keeper)[CAD_UID] == before[CAD_UID]


def test_sigterm_to_the_keeper_ends_all_three(daemon):
    keeper, state = daemon
    pids = list(processes(keeper).values())
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(10) == 0
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)
    assert not (state / "endpoints.json").exists()


def test_a_killed_keeper_takes_cad_and_signer_with_it(daemon):
    keeper, _ = daemon
    pids = list(processes(keeper).values())
    keeper.kill()
    keeper.wait(10)
    wait_for(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids))
