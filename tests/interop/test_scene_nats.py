"""NATS: clients known by an e-mail address or a DNS name in their certificate, or pinned by our own pin output; cluster routes with
certificates that are a server's and a client's; and a rotation that nobody's `ca_file` notices."""

import contextlib
import json
import shutil
import signal
import socket
import ssl
import subprocess
import time

import cadtest
import certs
import pytest
from tlsserver import free_port

CACTL = cadtest.BUILD / "client" / "cactl"
NATS = shutil.which("nats-server", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
START_S = 20

pytestmark = pytest.mark.skipif(not NATS, reason="no nats-server (Debian package nats-server)")


def cactl(ca, *args, cwd):
    done = subprocess.run([CACTL, "--socket", ca.socket, *args], capture_output=True, text=True, timeout=60, cwd=cwd,
                          stdin=subprocess.DEVNULL, env=cadtest.environment())
    assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon


@pytest.fixture
def folder(ca, tmp_path):
    cactl(ca, "issue", "nats.lan", "localhost", "127.0.0.1", "--peer", "--name", "server", cwd=tmp_path)
    cactl(ca, "issue", "anna@home.lan", "--name", "anna", cwd=tmp_path)
    cactl(ca, "issue", "sensor-7.lan", "--client", "--name", "sensor", cwd=tmp_path)
    return tmp_path


# -- The server ----------------------------------------------------------------------------------

TLS = """
tls {{
        cert_file: "{folder}/server.pem"
        key_file: "{folder}/server-key.pem"
        ca_file: "{folder}/root.pem"
        {more}
}}
"""


class Nats:
    def __init__(self, folder, name, config):
        self.folder, self.name, self.port = folder, name, free_port()
        self.config, self.log = folder / f"{name}.conf", folder / f"{name}.log"
        self.config.write_text(f'listen: "127.0.0.1:{self.port}"\nserver_name: {name}\n{config}')
        self.process = subprocess.Popen([NATS, "-c", self.config], stdout=subprocess.DEVNULL, stderr=open(self.log, "wb"), cwd=folder)

    def wait(self, what="Server is ready", count=1):
        limit = time.monotonic() + START_S
        while self.log.read_text().count(what) < count:
            assert self.process.poll() is None and time.monotonic() < limit, f"{self.name}: no '{what}':\n{self.log.read_text()}"
            time.sleep(0.02)
        return self

    def reload(self):
        before = self.log.read_text().count("Reloaded server configuration")
        self.process.send_signal(signal.SIGHUP)
        self.wait("Reloaded server configuration", before + 1)

    def close(self):
        self.process.kill()
        self.process.wait(10)


@contextlib.contextmanager
def nats(folder, more, name="one", rest=""):
    server = Nats(folder, name, TLS.format(folder=folder, more=more) + rest)
    try:
        yield server.wait()
    finally:
        server.close()


# -- A client: the protocol is text ---------------------------------------------------------------

class Refused(Exception):
    pass


class Client:
    def __init__(self, server, folder, who=None, host="localhost"):
        context = ssl.create_default_context(cafile=folder / "root.pem")
        if who:
            context.load_cert_chain(folder / f"{who}.pem", folder / f"{who}-key.pem")
        plain = socket.create_connection(("127.0.0.1", server.port), 10)
        plain.settimeout(10)
        try:
            info = b""
            while not info.endswith(b"\r\n"):       # not past it: TLS begins there
                info += plain.recv(1)
            assert json.loads(info.split(b" ", 1)[1])["tls_required"]
            self.tls = context.wrap_socket(plain, server_hostname=host)
            self.buffer, self.messages = b"", []
            self.send('CONNECT {"verbose":false,"pedantic":false,"tls_required":true,"name":"test","lang":"test","version":"1"}\r\nPING\r\n')
            self.expect("PONG")
        except (OSError, ssl.SSLError) as error:
            plain.close()
            raise Refused(str(error)) from None

    def send(self, text):
        self.tls.sendall(text.encode())

    def line(self):
        while b"\r\n" not in self.buffer:
            data = self.tls.recv(65536)
            if not data:
                raise Refused("closed")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode()

    def read(self):
        """The next line; a message is kept for message()."""
        line = self.line()
        if line.startswith("-ERR"):
            raise Refused(line)
        if line.startswith("MSG"):
            self.messages.append(self.line())
        return line

    def expect(self, word):
        while not self.read().startswith(word):
            pass

    def subscribe(self, subject):
        self.send(f"SUB {subject} 1\r\nPING\r\n")
        self.expect("PONG")

    def publish(self, subject, text):
        self.send(f"PUB {subject} {len(text)}\r\n{text}\r\nPING\r\n")
        self.expect("PONG")

    def message(self):
        while not self.messages:
            self.read()
        return self.messages.pop(0)

    def close(self):
        self.tls.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def refused(server, folder, who):
    with pytest.raises(Refused), Client(server, folder, who) as client:
        client.subscribe("x")


# -- The scenes ----------------------------------------------------------------------------------

def test_verify_wants_a_client_certificate_of_the_ca(ca, folder):
    cactl(ca, "issue", "only-server.lan", "--name", "server-only", cwd=folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=anna",
                    "-keyout", folder / "foreign-key.pem", "-out", folder / "foreign.pem"], check=True, capture_output=True)
    with nats(folder, "verify: true") as server:
        for who in ("anna", "sensor"):
            with Client(server, folder, who) as client:
                client.subscribe("a")
                client.publish("a", who)
                assert client.message() == who
        for who in (None, "foreign", "server-only"):
            refused(server, folder, who)


def test_verify_and_map_on_an_e_mail_address_and_on_a_dns_name(ca, folder):
    cactl(ca, "issue", "berta@home.lan", "--name", "berta", cwd=folder)
    users = """
authorization { users: [
        { user: "anna@home.lan", permissions: { publish: "house.>", subscribe: ">" } }
        { user: "sensor-7.lan", permissions: { publish: "sensor.7", subscribe: "_INBOX.>" } }
] }
"""
    with nats(folder, "verify_and_map: true", rest=users) as server:
        with Client(server, folder, "anna") as anna, Client(server, folder, "sensor") as sensor:
            anna.subscribe("sensor.7")
            sensor.publish("sensor.7", "21 degrees")
            assert anna.message() == "21 degrees"
            with pytest.raises(Refused, match="Permissions Violation"):
                sensor.publish("house.door", "open")
                sensor.subscribe("sensor.>")
            anna.publish("house.door", "open")
        refused(server, folder, "berta")        # a certificate, and no user


def test_pinned_certs_from_our_own_pins(ca, folder):
    pins = cactl(ca, "cert", "export", "anna.pem", "--format", "pins", cwd=folder)
    line = next(line.split(None, 1)[1] for line in pins.splitlines() if line.startswith("nats-server"))
    assert json.loads(cactl(ca, "--json", "cert", "export", "anna.pem", "--format", "pins", cwd=folder))["spki_sha256"] in line
    with nats(folder, f"verify: true\n        {line}") as server:
        Client(server, folder, "anna").close()
        refused(server, folder, "sensor")


CLUSTER = """
cluster {{
        name: house
        listen: "127.0.0.1:{port}"
        routes: [ {routes} ]
        tls {{
                cert_file: "{folder}/{who}.pem"
                key_file: "{folder}/{who}-key.pem"
                ca_file: "{folder}/root.pem"
                timeout: 10
        }}
}}
"""


def cluster(folder, name, who, port, other):
    return Nats(folder, name, TLS.format(folder=folder, more="verify: true") + CLUSTER.format(
        port=port, routes=f'"nats-route://localhost:{other}"' if other else "", folder=folder, who=who))


def passes(one, two, folder, who="anna", other="sensor"):
    """A message from one server to the other, over the route."""
    with Client(one, folder, who) as sender, Client(two, folder, other) as receiver:
        receiver.subscribe("over.there")
        limit = time.monotonic() + START_S
        receiver.tls.settimeout(0.3)
        while time.monotonic() < limit:         # interest spreads in its own time
            sender.publish("over.there", "hello")
            with contextlib.suppress(TimeoutError, socket.timeout):
                return receiver.message() == "hello"
    return False


def test_routes_and_a_rotation_that_no_ca_file_notices(ca, folder):
    cactl(ca, "issue", "nats-1.lan", "localhost", "127.0.0.1", "--peer", "--name", "route-1", cwd=folder)
    cactl(ca, "issue", "nats-2.lan", "localhost", "127.0.0.1", "--peer", "--name", "route-2", cwd=folder)
    trusted = (folder / "root.pem").read_bytes()
    ports = free_port(), free_port()
    one = cluster(folder, "one", "route-1", ports[0], None)
    two = None
    try:
        one.wait()
        two = cluster(folder, "two", "route-2", ports[1], ports[0]).wait()
        one.wait("Route connection created")
        assert passes(one, two, folder)
        # the standby takes over
        cactl(ca, "ca", "activate", cwd=folder)
        cactl(ca, "issue", "otto@home.lan", "--name", "otto", cwd=folder)
        issuer = {who: certs.of_pem((folder / f"{who}.pem").read_bytes())[0].issuer for who in ("anna", "otto")}
        assert issuer["anna"] != issuer["otto"]
        assert passes(one, two, folder, "anna", "otto") and passes(two, one, folder, "otto", "sensor")
        # a server with a new certificate, beside one with an old one; neither has seen another ca_file
        cactl(ca, "issue", "nats-2.lan", "localhost", "127.0.0.1", "--peer", "--name", "route-2", "--force", cwd=folder)
        two.close()
        two = cluster(folder, "two", "route-2", ports[1], ports[0]).wait()
        two.wait("Route connection created")
        cactl(ca, "issue", "nats.lan", "localhost", "127.0.0.1", "--peer", "--name", "server", "--force", cwd=folder)
        one.reload()
        assert passes(one, two, folder, "otto", "anna") and passes(two, one, folder, "anna", "otto")
        assert (folder / "root.pem").read_bytes() == trusted
        # a certificate that is a server's alone makes no route: both sides are asked for both
        cactl(ca, "issue", "localhost", "127.0.0.1", "--name", "route-2", "--force", cwd=folder)
        two.close()
        two = cluster(folder, "two", "route-2", ports[1], ports[0]).wait()
        one.wait("TLS route handshake error")
    finally:
        for server in filter(None, (one, two)):
            server.close()
