"""Who may do what on the Unix socket: roles by uid, gid and further groups of the process that connects (design.md §8)."""

import os
import pathlib
import select
import shutil
import socket
import tempfile
import time

import pytest

import cadtest
import csrs
import https
from csrs import csr, dns

if os.geteuid() != 0:
    pytest.skip("only root can be somebody else", allow_module_level=True)

ADMIN, OPERATOR, READER, NOBODY = 4001, 4002, 4003, 4004
CONF = """[Access]
Admin=uid:4001 gid:5001
Operator=uid:4002, gid:5002
Reader=uid:4003 gid:5003
"""
RANK = {"public": 0, "reader": 1, "operator": 2, "admin": 3}

# who: (uid, gid, further groups), role
PEOPLE = {
    "root": ((0, 0, []), "admin"),
    "admin by uid": ((ADMIN, 9, []), "admin"), "admin by gid": ((9, 5001, []), "admin"), "admin by a further group": ((9, 9, [7, 5001]), "admin"),
    "operator by uid": ((OPERATOR, 9, []), "operator"), "operator by gid": ((9, 5002, []), "operator"),
    "operator by a further group": ((9, 9, [5002, 8]), "operator"),
    "reader by uid": ((READER, 9, []), "reader"), "reader by a further group": ((9, 9, list(range(6000, 6060)) + [5003]), "reader"),
    "the highest of several": ((READER, 5002, [5001]), "admin"),
    "nobody": ((NOBODY, 9, []), "public"), "a uid like another's gid": ((5001, 9, [4001]), "public"), "uid 65534": ((65534, 65534, []), "public"),
}


@pytest.fixture(scope="module")
def ca():
    base = pathlib.Path(tempfile.mkdtemp(prefix="cad-"))
    base.chmod(0o755)
    (base / "cad.conf").write_text(CONF)
    with cadtest.Daemon(["--config", base / "cad.conf"]) as daemon:
        daemon.state.chmod(0o711)           # others may reach the socket, and nothing else
        daemon.socket.chmod(0o666)
        daemon.serial = daemon.issue(csr(names=[dns("nas.lan")])).expect(201).json["serial"]
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()
    shutil.rmtree(base)


def body():
    import json
    return json.dumps({"csr": csrs.pem(csr(csrs.EcKey(), names=[dns("nas.lan")]))}).encode()


JSON = {"Content-Type": "application/json"}
# (method, path, body, the least role, what it says where one may)
CALLS = (
    ("GET", "/v1/health", None, "public", 200), ("GET", "/v1/ca", None, "public", 200), ("GET", "/v1/ca/root.pem", None, "public", 200),
    ("GET", "/v1/ca/bundle.pem", None, "public", 200), ("GET", "/v1/profiles", None, "public", 200),
    ("GET", "/v1/certificates/{serial}", None, "public", 200), ("GET", "/v1/certificates/{serial}.der", None, "public", 200),
    ("GET", "/v1/certificates", None, "reader", 200), ("GET", "/v1/certificates?limit=1&status=valid", None, "reader", 200),
    ("POST", "/v1/certificates", body, "operator", 201), ("POST", "/v1/certificates/{serial}/revoke", lambda: b'{"reason":"certificate_hold"}',
                                                         "operator", (200, 409)),
)


@pytest.mark.sanitize
@pytest.mark.parametrize("method, path, make, least, fine", CALLS, ids=[f"{row[0]} {row[1]}" for row in CALLS])
def test_each_call_wants_its_role(ca, method, path, make, least, fine):
    for who, (ids, role) in PEOPLE.items():
        before = (ca.signed(), ca.get("/v1/certificates?limit=1").json)
        answer = ca.as_user(*ids, method, path.format(serial=ca.serial), make and make(), JSON if make else None)
        if RANK[role] >= RANK[least]:
            assert answer.status in (fine if isinstance(fine, tuple) else (fine,)), (who, answer)
            continue
        problem = answer.expect(403).json
        assert problem["type"] == "urn:cad:problem:forbidden" and f"uid:{ids[0]}" in problem["detail"], (who, problem)
        assert least in problem["detail"] and f"{least.capitalize()}=" in problem["detail"], (who, problem)
        assert (ca.signed(), ca.get("/v1/certificates?limit=1").json) == before, who


def test_a_refusal_comes_before_the_body_is_looked_at(ca):
    """Who may not issue learns nothing of the body, of a key or of a serial."""
    for data in (b"no JSON", b"{}", body()):
        ca.as_user(NOBODY, 9, [], "POST", "/v1/certificates", data, JSON).expect(403)
    ca.as_user(NOBODY, 9, [], "POST", "/v1/certificates/00/revoke", b"no JSON", JSON).expect(403)
    ca.as_user(READER, 9, [], "POST", "/v1/certificates", body(), {**JSON, "Idempotency-Key": "x"}).expect(403)


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "127.0.0.1"}, {"X-Remote-User": "root"}, {"Authorization": "Bearer root"},
                                     {"Authorization": "Basic cm9vdDo="}, {"X-Cad-Principal": "uid:0"}, {"Cookie": "uid=0"}],
                         ids=lambda headers: next(iter(headers)))
def test_no_header_makes_anybody_more(ca, headers):
    answer = ca.as_user(NOBODY, 9, [], "POST", "/v1/certificates", body(), {**JSON, **headers})
    answer.expect(401, 403)


def test_the_public_sees_whether_it_is_well_and_not_why(ca):
    public = ca.as_user(NOBODY, 9, [], "GET", "/v1/health").expect(200).json
    reader = ca.as_user(READER, 9, [], "GET", "/v1/health").expect(200).json
    assert public["status"] == reader["status"] == "ok"
    assert all(set(check) == {"name", "status"} for check in public["checks"])
    assert all("detail" in check for check in reader["checks"])


def test_only_an_admin_gets_an_admin_certificate(ca):
    import json
    wish = json.dumps({"csr": csrs.pem(csr(names=[dns("boss.lan")])), "profile": "admin"}).encode()
    for uid, status in ((ADMIN, 201), (OPERATOR, 403), (READER, 403), (NOBODY, 403), (0, 201)):
        ca.as_user(uid, 9, [], "POST", "/v1/certificates", wish, JSON).expect(status)


def test_the_row_says_who_asked(ca):
    serial = ca.as_user(OPERATOR, 9, [], "POST", "/v1/certificates", body(), JSON).expect(201).json["serial"]
    rows = ca.get(f"/v1/certificates?requester=uid%3A{OPERATOR}").expect(200).json["certificates"]
    assert serial in [row["serial"] for row in rows] and {row["requester"] for row in rows} == {f"uid:{OPERATOR}"}
    assert f"CAD_PRINCIPAL=uid:{OPERATOR}" in ca.log_text()


def test_idempotency_keys_belong_to_their_principal(ca):
    data, headers = body(), {**JSON, "Idempotency-Key": "shared"}
    first = ca.as_user(OPERATOR, 9, [], "POST", "/v1/certificates", data, headers).expect(201).json
    again = ca.as_user(OPERATOR, 5002, [8], "POST", "/v1/certificates", data, headers).expect(201).json
    other = ca.as_user(ADMIN, 9, [], "POST", "/v1/certificates", body(), headers).expect(201).json
    assert first["serial"] == again["serial"] != other["serial"]
    ca.as_user(OPERATOR, 9, [], "POST", "/v1/certificates", body(), headers).expect(422)


def test_who_was_an_operator_gets_no_answer_of_then(ca):
    """A key that was used as operator gives nothing once the role is gone."""
    headers = {**JSON, "Idempotency-Key": "by group"}
    data = body()
    ca.as_user(4010, 5002, [], "POST", "/v1/certificates", data, headers).expect(201)
    ca.as_user(4010, 9, [], "POST", "/v1/certificates", data, headers).expect(403)


def test_the_socket_lets_in_who_its_mode_lets_in():
    with cadtest.Daemon() as daemon:
        assert daemon.socket.stat().st_mode & 0o777 == 0o660 and daemon.state.stat().st_mode & 0o777 == 0o700
        daemon.state.chmod(0o711)
        with pytest.raises(AssertionError, match="PermissionError"):
            daemon.as_user(NOBODY, 9, [], "GET", "/v1/ca")
        os.chown(daemon.socket, -1, 9)
        daemon.as_user(NOBODY, 9, [], "GET", "/v1/ca").expect(200)
        daemon.as_user(NOBODY, 8, [9], "GET", "/v1/certificates").expect(403)


def test_one_user_cannot_take_all_connections(ca):
    """64 of one user are held open and no more; root is served all the same."""
    held = []
    pid = os.fork()
    if pid == 0:
        os.setresgid(9, 9, 9)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        try:
            for _ in range(500):
                sock = socket.socket(socket.AF_UNIX)
                sock.settimeout(1)
                sock.connect(str(ca.socket))
                sock.send(b"GET /v1/ca HT")
                held.append(sock)
        except OSError:
            pass
        time.sleep(1)
        turned_away = select.select(held, [], [], 0)[0]
        time.sleep(2)
        os._exit(0 if 0 < len(held) - len(turned_away) <= 64 else 1)
    try:
        for _ in range(20):
            ca.get("/v1/ca").expect(200)
        ca.issue(csr(csrs.EcKey(), names=[dns("nas.lan")])).expect(201)
    finally:
        status = os.waitpid(pid, 0)[1]
    assert status == 0, "more than 64 of one user are open"
    ca.as_user(NOBODY, 9, [], "GET", "/v1/ca").expect(200)


@pytest.mark.parametrize("purpose, status", [("clientAuth", 200), ("serverAuth", 403)])
def test_a_certificate_that_is_for_no_client_has_no_role(purpose, status):
    """An admin profile that was changed to be for servers: its certificates own themselves, and may nothing else."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="cad-"))
    base.chmod(0o755)
    (base / "profiles.d").mkdir(mode=0o755)
    (base / "cad.conf").write_text("[Access]\nAdmin=cert:boss\n")
    (base / "profiles.d" / "admin.conf").write_text(f"[Profile]\nExtendedKeyUsage={purpose}\n")
    try:
        with cadtest.Daemon(["--config", base / "cad.conf"], tcp=True) as daemon:
            boss = https.identity(daemon, "admin", "boss.lan", label="boss")
            assert https.request(daemon, "GET", "/v1/certificates", who=boss).status == status
    finally:
        shutil.rmtree(base)
