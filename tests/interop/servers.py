"""Real servers that cactl deploys to, started by hand on a free loopback port, with a configuration and a certificate of their own.

    with servers.running("nginx", folder) as server:
        server.config, server.pid_file, server.key, server.cert
        server.shows()      # DER of the certificate that it presents now
"""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest
from tlsserver import answers, free_port

START_S, STOP_S, SHOW_S = 20, 10, 10
STEADY = 5      # connections, in a row
SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def nats_upgrade(sock):
    line = b""
    while not line.endswith(b"\n"):
        line += sock.recv(1)
    assert line.startswith(b"INFO ")


def postgres_upgrade(sock):
    sock.sendall(struct.pack("!II", 8, 80877103))      # SSLRequest
    assert sock.recv(1) == b"S"


# Each: program, configuration ({dir}, {port}, {cert}, {key}, {both}), words to start it, the check that stands in for the table's, and
# a line that makes the configuration one that the program refuses.
NGINX = """
daemon off; pid {dir}/own.pid; error_log {dir}/error.log; {user}
events {{ }}
http {{ access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
  scgi_temp_path {dir}/t5;
  server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key}; return 200 "ok"; }} }}
"""
APACHE = """
ServerRoot {dir}
ServerName localhost
PidFile {dir}/own.pid
ErrorLog {dir}/error.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
Mutex posixsem
StartServers 1
ThreadsPerChild 4
MaxRequestWorkers 4
MinSpareThreads 1
MaxSpareThreads 4
DocumentRoot {dir}
SSLEngine on
SSLCertificateFile {cert}
SSLCertificateKeyFile {key}
"""
HAPROXY = """
global
  stats socket {dir}/s
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend f
  bind 127.0.0.1:{port} ssl crt {both}
  http-request return status 200
"""
LIGHTTPD = """
server.modules = ("mod_openssl")
server.document-root = "{dir}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{dir}/error.log"
ssl.engine = "enable"
ssl.pemfile = "{both}"
"""
NATS = """
listen: 127.0.0.1:{port}
tls {{
  cert_file: "{cert}"
  key_file: "{key}"
}}
"""
MOSQUITTO = """
{user}
listener {port} 127.0.0.1
allow_anonymous true
certfile {cert}
keyfile {key}
"""
DOVECOT = """
base_dir = {dir}/run
state_dir = {dir}/run
log_path = {dir}/error.log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{cert}
ssl_key = <{key}
default_internal_user = {internal}
default_internal_group = {internal}
default_login_user = {login}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
passdb {{
  driver = static
  args = password=x
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={dir}
}}
"""
POSTGRES = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{dir}'
fsync = off
ssl = on
ssl_cert_file = '{cert}'
ssl_key_file = '{key}'
"""

SERVERS = {
    "nginx": dict(text=NGINX, start="nginx -p {dir} -e {dir}/error.log -c {config}", broken="nonsense;\n"),
    "apache": dict(program="apache2", text=APACHE, start="apache2 -f {config} -D FOREGROUND", check="apache2 -t -f {config}", broken="Nonsense\n"),
    "haproxy": dict(text=HAPROXY, start="haproxy -W -f {config}", broken="nonsense\n"),
    "lighttpd": dict(text=LIGHTTPD, start="lighttpd -D -f {config}", broken="nonsense\n"),
    "nats": dict(program="nats-server", text=NATS, start="nats-server -c {config}", broken="nonsense: {{\n", upgrade=nats_upgrade),
    "mosquitto": dict(text=MOSQUITTO, start="mosquitto -c {config}"),
    # its children end with it, and it would wait for them for seconds
    "dovecot": dict(stop=signal.SIGKILL, text=DOVECOT, start="dovecot -F -c {config}", broken="nonsense\n"),
    "postgresql": dict(stop=signal.SIGINT, program="postgres", text=POSTGRES, upgrade=postgres_upgrade),
}


def find(program):
    """Its path; skips where it is not installed."""
    postgres = sorted(map(str, pathlib.Path("/usr/lib/postgresql").glob("*/bin")))
    found = shutil.which(program, path=":".join([*postgres, SBIN]))
    if not found:
        pytest.skip(f"{program} is not installed")
    return found


class Server:
    def __init__(self, name, folder):
        self.name, self.folder, self.row = name, folder, SERVERS[name]
        self.program = find(self.row.get("program", name))
        self.config, self.pid_file = folder / "service.conf", folder / "pid"
        self.cert, self.key, self.both = folder / "cert.pem", folder / "key.pem", folder / "both.pem"
        self.process, self.port, self.as_user = None, free_port(), []

    @property
    def combined(self):
        return "{both}" in self.row["text"]

    def write_config(self, more=""):
        root = os.geteuid() == 0
        me = pwd.getpwuid(os.geteuid()).pw_name
        user = {"nginx": "user root;", "mosquitto": "user root"}.get(self.name, "") if root else ""
        self.config.write_text(self.row["text"].format(
            dir=self.folder, port=self.port, cert=self.cert, key=self.key, both=self.both, user=user,
            internal="dovecot" if root else me, login="dovenull" if root else me) + more)

    def self_sign(self):
        """What a box makes for itself at its first boot."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj", "/CN=box",
                        "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)
        self.both.write_text(self.cert.read_text() + self.key.read_text())
        for unused in ((self.cert, self.key) if self.combined else (self.both,)):
            unused.unlink()
        self.key.exists() and self.key.chmod(0o600)

    def words(self):
        if self.name == "postgresql":
            return [*self.as_user, self.program, "-D", self.folder / "data", "-c", f"config_file={self.config}"]
        first, *rest = self.row["start"].format(dir=self.folder, config=self.config).split()
        return [self.program, *rest]

    def prepare_postgres(self):
        if os.geteuid() == 0:
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            user = pwd.getpwnam("postgres")
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, user.pw_uid, user.pw_gid)
        subprocess.run([*self.as_user, pathlib.Path(self.program).parent / "initdb", "-D", self.folder / "data", "--no-sync", "-A", "trust",
                        "--no-instructions", "--locale=C"], check=True, capture_output=True, cwd=self.folder)

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.words(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                            env={"PATH": SBIN})
        self.pid_file.write_text(f"{self.process.pid}\n")
        limit = time.monotonic() + START_S
        while not answers(self.port) or not self.presents():
            assert self.process.poll() is None and time.monotonic() < limit, self.log()
            time.sleep(0.02)

    def log(self):
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in (self.folder / "log", self.folder / "error.log") if path.exists())

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(self.row.get("stop", signal.SIGTERM))
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_S)
            shutil.rmtree(self.folder / "run", ignore_errors=True)      # sockets of a dovecot that was killed

    def shows(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
            sock.settimeout(5)
            self.row.get("upgrade", lambda _: None)(sock)
            with context.wrap_socket(sock, server_hostname="nas.lan") as tls:
                return tls.getpeercert(True)

    def presents(self):
        try:
            return self.shows()
        except OSError:
            return None

    def comes_to_show(self, der):
        """Wait until new connections get this certificate, one like the other: most reload in their own time, and for a moment
        an old worker may still take one."""
        limit, in_a_row = time.monotonic() + SHOW_S, 0
        while True:
            in_a_row = in_a_row + 1 if self.presents() == der else 0
            if in_a_row == STEADY:
                return
            assert self.process.poll() is None and time.monotonic() < limit, self.log()
            time.sleep(0.02)

    def options(self):
        """What cactl has to be told, as it is not Debian's own instance."""
        words = ["--config", self.config, "--pid-file", self.pid_file]
        return words + (["--check", self.row["check"]] if "check" in self.row else [])


@contextlib.contextmanager
def running(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    server = Server(name, folder)
    server.write_config()
    server.self_sign()
    if name == "postgresql":
        server.prepare_postgres()
    try:
        server.start()
        yield server
    finally:
        server.stop()


