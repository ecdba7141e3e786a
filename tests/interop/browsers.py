"""Real browsers without a screen: Chromium through chromedriver, Firefox through Marionette, each in a profile of its own.

    with browsers.Chromium(roots=[pem]) as browser:
        browser.open("https://nas.lan:8443/")       # None, or the browser's reason why not
        browser.run("return document.title")

Both speak WebDriver's commands (W3C), Chromium's over HTTP, Firefox's over a socket. Nothing leaves this machine: names are mapped
to 127.0.0.1 in the browser itself, and what a browser does by itself in the background is turned off.
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

START_S, ANSWER_S, STOP_S = 60, 60, 10

# Firefox's pages about a failed certificate know its error; others show what they are about in their address.
ERROR_CODE = """
    const told = document.getFailedCertSecurityInfo && document.getFailedCertSecurityInfo();
    return told ? told.errorCodeString : document.documentURI"""


class WebDriverError(Exception):
    """What a browser says of a command that it did not carry out."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text


def program(*names):
    """The path of the first that there is; skips without one."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"not there: {names[0]}")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def nss_database(folder, roots):
    """A database of NSS with these roots (PEM) trusted for servers."""
    folder.mkdir(parents=True, exist_ok=True)
    tool, where = program("certutil"), f"sql:{folder}"
    subprocess.run([tool, "-N", "-d", where, "--empty-password"], check=True, timeout=30)
    for i, root in enumerate(roots):
        subprocess.run([tool, "-A", "-d", where, "-t", "C,,", "-n", f"root {i}"], input=root.encode(), check=True, timeout=30)


class Browser:
    """What both have in common; @process is ended by its own pid, and with it what it has started."""

    def __init__(self):
        # a short path: browsers make Unix sockets in it
        self.folder, self.process = pathlib.Path(tempfile.mkdtemp(prefix="cad-")), None

    def launch(self, words, **env):
        keep = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(words, env={**keep, **env}, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)

    def wait_until(self, happened, what):
        limit = time.monotonic() + START_S
        while not happened():
            assert self.process.poll() is None, f"{what}: it has ended\n{(self.folder / 'log').read_text(errors='replace')[-2000:]}"
            assert time.monotonic() < limit, what
            time.sleep(0.02)

    def close(self):
        """Ask it to end, then end its process group, which is its own."""
        if self.process:
            with contextlib.suppress(Exception):
                self.quit()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait(STOP_S)
            self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()


class Chromium(Browser):
    """@roots: what this user has added to Chromium's database."""

    def __init__(self, roots=()):
        super().__init__()
        self.driver, self.chromium = program("chromedriver"), program("chromium")
        self.roots, self.session = roots, None

    def start(self):
        nss_database(self.folder / ".pki" / "nssdb", self.roots)
        self.port = free_port()
        self.launch([self.driver, f"--port={self.port}", "--log-level=SEVERE"])
        self.wait_until(self.is_up, "chromedriver does not answer")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
                 f"--user-data-dir={self.folder / 'profile'}", "--host-resolver-rules=MAP * 127.0.0.1, EXCLUDE 127.0.0.1, EXCLUDE localhost"]
        options = {"binary": self.chromium, "args": flags}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "timeouts": {"pageLoad": ANSWER_S * 1000},
                        "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def is_up(self):
        try:
            return self.ask("GET", "/status")["ready"]
        except OSError:
            return False

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and value.get("error"):
            raise WebDriverError(value["error"], value["message"])
        return value

    def command(self, path, **body):
        return self.ask("POST", f"/session/{self.session}/{path}", body)

    def open(self, url):
        self.command("url", url=url)

    def refusal(self, url):
        """Open it. Return: None, or "ERR_…"."""
        told = self.devtools("Page.navigate", url=url).get("errorText", "")
        return told.removeprefix("net::") or None

    def run(self, script, *args):
        """JavaScript of the test's own, as the body of a function; runs where the page may run none, too."""
        return self.command("execute/sync", script=script, args=args)

    def devtools(self, method, **params):
        return self.command("goog/cdp/execute", cmd=method, params=params)

    def look(self, width, height, scheme, phone=False):
        """As on a screen of this size, "light" or "dark"."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, file):
        """Of the whole page, as PNG."""
        found = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        pathlib.Path(file).write_bytes(base64.b64decode(found["data"]))

    def messages(self):
        """Of the console since the last time."""
        return self.command("se/log", type="browser")

    def quit(self):
        if self.session:
            self.ask("DELETE", f"/session/{self.session}")
        self.process.terminate()


class Firefox(Browser):
    """@roots: in this profile's database; names are mapped by network.dns.localDomains."""

    def __init__(self, roots=(), names=()):
        super().__init__()
        self.firefox, self.roots, self.names = program("firefox-esr", "firefox"), roots, names
        self.socket, self.count = None, 0

    def start(self):
        profile = self.folder / "profile"
        nss_database(profile, self.roots)
        self.port = free_port()
        prefs = {"marionette.port": self.port, "network.dns.localDomains": ",".join(self.names), "security.enterprise_roots.enabled": False,
                 "app.update.enabled": False, "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
                 "datareporting.policy.dataSubmissionEnabled": False, "browser.safebrowsing.malware.enabled": False,
                 "browser.safebrowsing.phishing.enabled": False, "services.settings.server": "http://127.0.0.1:1/", "dom.security.https_first": False,
                 "browser.shell.checkDefaultBrowser": False, "browser.startup.homepage_override.mstone": "ignore",
                 "extensions.getAddons.cache.enabled": False, "extensions.systemAddon.update.enabled": False,
                 "network.trr.mode": 5, "toolkit.telemetry.server": "", "browser.startup.page": 0, "security.OCSP.enabled": 0}
        (profile / "user.js").write_text("".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in prefs.items()))
        self.launch([self.firefox, "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", str(profile)], MOZ_CRASHREPORTER_DISABLE="1")
        self.wait_until(self.is_up, "Firefox does not answer")
        self.receive()                                      # its greeting
        self.command("WebDriver:NewSession", capabilities={"alwaysMatch": {"acceptInsecureCerts": False}})

    def is_up(self):
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_S)
        except OSError:
            return False
        return True

    def receive(self):
        """One message: its length in decimal, a colon, JSON."""
        length = b""
        while not length.endswith(b":"):
            part = self.socket.recv(1)
            assert part, "Firefox has closed the connection"
            length += part
        text, size = b"", int(length[:-1])
        while len(text) < size:
            part = self.socket.recv(size - len(text))
            assert part, "Firefox has closed the connection"
            text += part
        return json.loads(text)

    def command(self, name, **params):
        self.count += 1
        text = json.dumps([0, self.count, name, params]).encode()
        self.socket.sendall(b"%d:%s" % (len(text), text))
        _, number, error, result = self.receive()
        assert number == self.count
        if error:
            raise WebDriverError(error["error"], error["message"])
        return result

    def open(self, url):
        self.command("WebDriver:Navigate", url=url)

    def refusal(self, url):
        """Open it. Return: None, or the code of Firefox's page about it: "SEC_ERROR_UNKNOWN_ISSUER"."""
        try:
            self.open(url)
        except WebDriverError as error:
            return self.run(ERROR_CODE) or error.text
        return None

    def run(self, script, *args):
        return self.command("WebDriver:ExecuteScript", script=script, args=args)["value"]

    def trust(self, root):
        """Import a root (PEM) for servers, as the window of its settings does."""
        self.command("Marionette:SetContext", value="chrome")
        self.run("""const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
                    database.addCertFromBase64(arguments[0], "C,,");""", "".join(root.strip().splitlines()[1:-1]))
        self.command("Marionette:SetContext", value="content")

    def quit(self):
        if self.socket:
            self.socket.close()
        self.process.kill()         # nobody wants the profile again, and a tidy end takes seconds
