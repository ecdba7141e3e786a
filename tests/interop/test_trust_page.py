"""The trust page as a person sees it: in Chromium, on a phone and on a desktop, light and dark, with JavaScript and without.

$CAD_SCREENSHOTS names a folder to put pictures of it into.
"""

import contextlib
import http.server
import json
import os
import pathlib
import subprocess
import threading

import browsers
import cadtest
import pytest
import tools

pytestmark = pytest.mark.slow

NAME = "Küche <script>alert(1)</script> & Co"
SCREENS = {"phone": (390, 844, True), "desktop": (1280, 900, False)}
LIMIT_S = 20
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    daemon = cadtest.Daemon(tcp=True)
    done = cadtest.run(["init", "--state-dir", str(daemon.state), "--name", NAME, "--public-url", "http://localhost:8080"])
    assert done.returncode == 0, done.stderr
    with daemon:
        daemon.root = daemon.get("/v1/ca/root.pem").expect(200).body.decode()
        yield daemon


@pytest.fixture(scope="module")
def trusting(ca):
    with browsers.Chromium([ca.root]) as browser:
        yield browser


@pytest.fixture(scope="module")
def stranger(ca):
    """No root, and no JavaScript unless a test turns it on."""
    with browsers.Chromium() as browser:
        yield browser


def address(ca, host="127.0.0.1", kind="http", path="/"):
    return f"{kind}://{host}:{ca.port(kind)}{path}"


def verdict(ca, browser):
    """Class and text of the self-test, once it has one."""
    found = []

    def there():
        found[:] = browser.run("const box = document.getElementById('test-result'); return [box.className, box.innerText]")
        return not found[1].startswith("Testing")

    ca.wait_until(there, LIMIT_S, "the self-test does not end")
    return found


def no_violation(browser):
    """AssertionError where the browser had to block something."""
    told = [message["message"] for message in browser.messages()]
    assert not [text for text in told if "Content Security Policy" in text or "TrustedHTML" in text or "blocked" in text], told


class Blank(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def elsewhere():
    """The address of a page of somebody else's."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


# Through the name, the page is the address's neighbour; [::1] is not listened on here.
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_device_with_the_root_is_told_that_it_trusts(ca, trusting, host):
    trusting.messages()
    trusting.open(address(ca, host))
    kind, text = verdict(ca, trusting)
    assert kind == "result trusted" and text.startswith("This device trusts this CA"), text
    assert trusting.run("return document.getElementById('test-again').offsetHeight") > 20
    no_violation(trusting)


def test_a_device_without_it_is_told_that_it_does_not(ca, stranger):
    stranger.open(address(ca))
    kind, text = verdict(ca, stranger)
    assert kind == "result untrusted" and text.startswith("This device does not trust this CA"), text
    assert str(ca.port("https")) in text
    told = [message["message"] for message in stranger.messages()]
    assert any("ERR_CERT_AUTHORITY_INVALID" in text for text in told), told      # that, and no policy, is why


def test_over_https_the_test_does_not_pretend_to_know(ca, trusting):
    trusting.open(address(ca, "localhost", "https"))
    kind, text = verdict(ca, trusting)
    assert kind.strip() == "result" and "came over HTTPS" in text
    no_violation(trusting)


def test_a_page_elsewhere_sees_the_image_and_reads_nothing(ca, trusting):
    """It is the one thing that another origin may show, and there is no CORS to read it with."""
    with elsewhere() as other:
        trusting.open(other)
    found = trusting.devtools("Runtime.evaluate", awaitPromise=True, returnByValue=True, expression=f"""
        const show = (path) => new Promise((done) => {{
            const image = new Image();
            image.onload = () => done(true);
            image.onerror = () => done(false);
            image.src = '{address(ca, "localhost", "https", "/trust/")}' + path;
        }});
        const read = (path) => fetch('{address(ca, "localhost", "https", "/trust/")}' + path).then(() => 'read', (error) => error.name);
        Promise.all([show('check.svg'), show('icon.svg'), read('check.svg'), read('ios')])""")
    assert found["result"]["value"] == [True, False, "TypeError", "TypeError"], trusting.messages()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_it_fits_and_axe_finds_nothing(ca, trusting, screen, scheme):
    axe = pathlib.Path(tools.find("axe"))
    width, height, phone = SCREENS[screen]
    trusting.look(width, height, scheme, phone)
    trusting.open(address(ca, path="/trust/ios" if phone else "/trust/windows"))
    verdict(ca, trusting)
    trusting.run("for (const folded of document.querySelectorAll('details')) folded.open = true")
    if folder := os.environ.get("CAD_SCREENSHOTS"):
        trusting.screenshot(pathlib.Path(folder) / f"{screen}-{scheme}.png")
    assert trusting.run("return document.documentElement.scrollWidth") <= width
    assert trusting.run("return getComputedStyle(document.querySelector('.beside')).display") == ("none" if phone else "grid")
    # as DevTools would: the page's own policy stays as it is
    trusting.devtools("Runtime.evaluate", expression=axe.read_text())
    what = AXE if scheme == "light" else {"runOnly": ["color-contrast"]}     # the rest is the same in the dark
    found = trusting.devtools("Runtime.evaluate", awaitPromise=True, returnByValue=True, expression=f"""
        axe.run(document, {json.dumps(what)}).then(found => JSON.stringify([found.passes.length, found.violations.map(
            each => [each.id, each.nodes.map(node => node.html + ': ' + node.failureSummary)])]))""")
    passes, violations = json.loads(found["result"]["value"])
    assert passes >= (15 if what is AXE else 1) and violations == []


def test_dark_is_dark(ca, trusting):
    shown = {}
    for scheme in ("light", "dark"):
        trusting.look(390, 844, scheme)
        trusting.open(address(ca))
        shown[scheme] = trusting.run("return getComputedStyle(document.body).backgroundColor")
    assert shown == {"light": "rgb(245, 246, 244)", "dark": "rgb(18, 21, 18)"}


def test_a_phone_reads_the_code_off_the_screen(ca, trusting, tmp_path):
    reader = browsers.program("zbarimg")
    trusting.look(1280, 900, "dark")
    trusting.open(address(ca))
    trusting.screenshot(tmp_path / "page.png")
    done = subprocess.run([reader, "--quiet", "--raw", str(tmp_path / "page.png")], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.stdout.strip() == "http://localhost:8080/", done


def test_without_javascript_it_reads_as_well(ca, stranger):
    stranger.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        stranger.look(390, 844, "light", phone=True)
        stranger.open(address(ca, path="/trust/android"))
        if folder := os.environ.get("CAD_SCREENSHOTS"):
            stranger.screenshot(pathlib.Path(folder) / "no-javascript.png")
        tree = stranger.devtools("Accessibility.getFullAXTree")["nodes"]
        names = [node["name"]["value"] for node in tree if node.get("name", {}).get("value") and not node["ignored"]]
        for needed in (NAME, "1. Is it the right one?", "2. Install it: Android", "3. Does this device trust it?", "Download the certificate",
                       f"https://localhost:{ca.port('https')}/", "iPhone and iPad", "What you trust it for"):
            assert needed in names, (needed, names)
        assert "Test again" not in names and not [name for name in names if "Testing" in name]
    finally:
        stranger.devtools("Emulation.setScriptExecutionDisabled", value=False)
