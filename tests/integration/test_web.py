"""The trust page: what it says, to whom, in how many bytes, and what it does not let happen (threats.md §4 rows 46-51)."""

import hashlib
import html.parser
import http.client
import pathlib
import plistlib
import re
import select
import socket
import uuid

import cadtest
import https
import pytest

NAME = "Küche <script>alert(1)</script> & Co"
PUBLIC = "http://localhost:8080"
BYTES_MAX = 60_000
SLUGS = ["ios", "macos", "android", "windows", "linux", "firefox", "java", "other"]
PAGES = ["/", "/trust"] + [f"/trust/{slug}" for slug in SLUGS]
FILES = {"style.css": "text/css", "test.js": "text/javascript", "icon.svg": "image/svg+xml", "check.svg": "image/svg+xml", "qr.svg": "image/svg+xml",
         "cad-root.crt": "application/x-x509-ca-cert", "cad-root.pem": "application/x-pem-file",
         "cad-root.mobileconfig": "application/x-apple-aspen-config"}
EVERYTHING = PAGES + [f"/trust/{file}" for file in FILES]

APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0"
VISITORS = {
    "an iPhone": (f"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) {APPLE} Version/19.0 Mobile/15E148 Safari/604.1", "iPhone and iPad"),
    "Chrome on an iPhone": (f"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) {APPLE} CriOS/150.0 Mobile/15E148 Safari/604.1", "iPhone and iPad"),
    "an old iPad": (f"Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) {APPLE} Version/12.1 Mobile/15E148 Safari/604.1", "iPhone and iPad"),
    "a Mac": (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/19.0 Safari/605.1.15", "Mac"),
    "Android": (f"Mozilla/5.0 (Linux; Android 16; Pixel 9) {CHROME} Mobile Safari/537.36", "Android"),
    "Firefox on Android": ("Mozilla/5.0 (Android 16; Mobile; rv:150.0) Gecko/150.0 Firefox/150.0", "Android"),
    "Windows": (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/150.0.0.0", "Windows"),
    "Firefox on Windows": ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox on a PC"),
    "Firefox on Linux": ("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox on a PC"),
    "Chromium on Linux": (f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36", "Linux and ChromeOS"),
    "a Chromebook": (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36", "Linux and ChromeOS"),
    "Java": ("Java-http-client/21.0.2", "Java"),
    "a television": ("Mozilla/5.0 (SMART-TV; Linux; Tizen 2.4.0) AppleWebkit/538.1 (KHTML, like Gecko) TV Safari/538.1", "Televisions and others"),
    "another television": (f"Mozilla/5.0 (Web0S; Linux/SmartTV) {CHROME} Safari/537.36 WebAppManager", "Televisions and others"),
    "an Xbox": (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) {CHROME} Safari/537.36 Edge/44", "Televisions and others"),
    "a Windows Phone": (f"Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) {CHROME} Edge/15", "Televisions and others"),
    "FreeBSD": (f"Mozilla/5.0 (X11; FreeBSD amd64) {CHROME} Safari/537.36", "Linux and ChromeOS"),
    "an old Java": ("Java/1.8.0_392", "Java"),
    "curl": ("curl/8.9.1", "Televisions and others"),
    "nobody": (None, "Televisions and others"),
    "something odd": ("<script>\xe9" + "A" * 4000, "Televisions and others"),
}


def made(name=NAME, *args, listen=None, public=PUBLIC):
    ca = cadtest.Daemon(tcp=True)
    ca.listen = listen or ca.listen
    done = cadtest.run(["init", "--state-dir", str(ca.state), "--name", name, "--public-url", public, *args])
    assert done.returncode == 0, done.stderr
    return ca


@pytest.fixture(scope="module")
def ca():
    with made() as ca:
        yield ca
        ca.check_log()


class Page(html.parser.HTMLParser):
    """A page as a browser would read it, as far as it matters here."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append((tag, dict(attributes).get("id")))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        for key in {self.open[-1] if self.open else None, *self.open}:
            if key:
                self.texts[key] = self.texts.get(key, "") + data

    def text(self, tag, id=None):
        return " ".join(self.texts[tag, id].split())

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


KEPT = {}      # one connection to each plain HTTP, kept as browsers keep theirs


def get(ca, path, agent=None, kind="http", **headers):
    headers = {**({"User-Agent": agent} if agent else {}), **headers}
    if kind == "https":
        return https.request(ca, "GET", path, headers=headers)
    connection = KEPT.setdefault(ca.port("http"), http.client.HTTPConnection("127.0.0.1", ca.port("http"), timeout=cadtest.ANSWER_S))
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
    except (http.client.RemoteDisconnected, ConnectionError):   # it was idle for too long
        connection.close()
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
    answer = cadtest.Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    return cadtest.judged("GET", path, answer, "tcp", None, headers)


def page(ca, path="/", agent=None):
    return Page(get(ca, path, agent).expect(200).body.decode())


# -- what it says ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("who", VISITORS)
def test_a_visitor_sees_the_steps_for_their_system_first_and_all_others_below(ca, who):
    agent, title = VISITORS[who]
    found = page(ca, agent=agent.encode("latin-1") if agent else None)
    assert found.text("h2", "install-title") == f"2. Install it: {title}"
    folded = [attributes["id"] for tag, attributes in found.elements if tag == "details" and "id" in attributes]
    assert len(folded) == len(SLUGS) - 1 and set(folded) < set(SLUGS)


def test_each_system_has_an_address_of_its_own(ca):
    titles = {page(ca, f"/trust/{slug}").text("h2", "install-title") for slug in SLUGS}
    assert len(titles) == len(SLUGS)


def test_it_says_who_the_ca_is_and_how_to_tell(ca):
    root = get(ca, "/root.crt").expect(200).body
    digest = hashlib.sha256(root).digest()
    words = (pathlib.Path(__file__).parents[2] / "lib/pki/words/english.txt").read_text().split()
    found = page(ca)
    listed = re.findall(r"<li>([a-z]+)</li>", get(ca, "/").body.decode())
    bits = int.from_bytes(digest, "big") >> (256 - 132)
    assert listed[:12] == [words[bits >> shift & 2047] for shift in range(121, -1, -11)]
    assert digest.hex() in get(ca, "/").body.decode().replace("</span><span>", "")
    whole = " ".join(" ".join(found.texts.values()).split())
    for needed in ("This page cannot prove itself.", "hand out another certificate", "cactl ca fingerprint", "private names and addresses", "even when its keys are stolen", "home.arpa", "192.168.0.0/16"):
        assert needed in whole, needed


def test_a_name_that_is_markup_is_only_text(ca):
    for path in PAGES:
        found = page(ca, path)
        assert found.text("h1") == NAME and found.text("title") == f"Trust {NAME}"
        assert [attributes for tag, attributes in found.elements if tag == "script"] == [{"src": "/trust/test.js", "defer": None}]


def test_an_unconfined_ca_says_so():
    with made("Free & easy", "--unconstrained") as free:
        found = page(free)
        assert "This CA is not confined to any names." in found.texts["p", None]
        assert "bank" not in found.text("header", None)
        assert "any name at all" in found.texts["dd", None]


def test_a_public_url_may_be_an_address_of_ipv6():
    with made(public="http://[fd00::5]:8080") as ca:
        port, found = ca.port("https"), page(ca)
        assert {"http://[fd00::5]:8080/", f"https://[fd00::5]:{port}/"} <= set(found.attributes("href"))
        # a policy has no way to write it (CSP Level 3 §2.3.1)
        assert get(ca, "/").headers["content-security-policy"].endswith(f" https://127.0.0.1:{port} https:")


def test_without_https_there_is_no_test_of_it():
    with made(listen=["--https", "no", "--http", "127.0.0.1:0"]) as plain:
        answer = get(plain, "/").expect(200)
        assert b"test-result" not in answer.body and b"has no HTTPS" in answer.body
        assert "https:" not in answer.headers["content-security-policy"]


def test_the_profile_is_what_apple_reads(ca):
    root = get(ca, "/root.crt").expect(200).body
    body = get(ca, "/trust/cad-root.mobileconfig").expect(200).body
    profile = plistlib.loads(body, fmt=plistlib.FMT_XML)
    payload, = profile["PayloadContent"]
    assert profile["PayloadType"] == "Configuration" and payload["PayloadType"] == "com.apple.security.root"
    assert payload["PayloadContent"] == root and profile["PayloadDisplayName"] == payload["PayloadDisplayName"] == NAME
    assert profile["PayloadRemovalDisallowed"] is False and {profile["PayloadVersion"], payload["PayloadVersion"]} == {1}
    digest = hashlib.sha256(root).digest()
    for told, octets in ((payload["PayloadUUID"], digest[:16]), (profile["PayloadUUID"], digest[16:])):
        number = uuid.UUID(told)
        assert str(number).upper() == told and number.version == 8 and number.variant == uuid.RFC_4122
        assert number.bytes[:6] == octets[:6] and number.bytes[9:] == octets[9:]
    assert payload["PayloadIdentifier"].startswith(profile["PayloadIdentifier"])


def test_the_downloads_are_the_root(ca):
    pem = ca.get("/v1/ca/root.pem").expect(200).body
    for kind in ("http", "https"):
        assert get(ca, "/trust/cad-root.crt", kind=kind).body == get(ca, "/root.crt", kind=kind).body
        assert get(ca, "/trust/cad-root.pem", kind=kind).body == pem


# -- how much, and from where ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("slug", SLUGS)
def test_all_that_a_page_needs_is_small_and_from_here(ca, slug):
    answer = get(ca, f"/trust/{slug}")
    found, size = Page(answer.body.decode()), len(answer.body)
    needed = {attributes.get("src") or attributes["href"] for tag, attributes in found.elements if tag in ("script", "img", "link")}
    assert needed == {"/trust/style.css", "/trust/test.js", "/trust/icon.svg", "/trust/qr.svg"}
    for path in needed:
        size += len(get(ca, path).expect(200).body)
    assert size < BYTES_MAX
    own = (f"{PUBLIC}/", f"https://localhost:{ca.port('https')}/", "/", "#")
    for target in found.attributes("href") + found.attributes("src"):
        assert target.startswith(own) and not target.startswith("//"), target
        if target.startswith("/"):
            get(ca, target).expect(200)
        if target.startswith("#"):
            assert target[1:] in found.attributes("id")
    assert not found.attributes("style") and not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert not [tag for tag, _ in found.elements if tag in ("style", "iframe", "form", "object", "embed", "base")]


def test_neither_style_nor_script_fetches_anything_from_elsewhere(ca):
    assert b"url(" not in get(ca, "/trust/style.css").body and b"@import" not in get(ca, "/trust/style.css").body
    script = get(ca, "/trust/test.js").body.decode()
    assert re.findall(r"https?://[^`'\s]*", script) == ["https://${name}:${port}/trust/check.svg?${Date.now()}"]
    assert not re.search(r"innerHTML|eval|document\.write|fetch\(|XMLHttpRequest|cookie|Storage", script)


# -- headers --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["http", "https"])
@pytest.mark.parametrize("path", EVERYTHING)
def test_every_answer_is_locked_down(ca, path, kind):
    headers = get(ca, path, kind=kind).expect(200).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"] and "*" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    check = path == "/trust/check.svg"
    assert headers["cross-origin-resource-policy"] == ("cross-origin" if check else "same-origin")
    assert headers["cache-control"] == ("no-store" if check else "no-cache")
    assert not {"set-cookie", "access-control-allow-origin", "strict-transport-security", "server"} & set(headers)
    if path in PAGES:
        port = ca.port("https")
        assert policy["require-trusted-types-for"] == "'script'"
        assert policy["script-src"] == policy["style-src"] == "'self'" and policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["img-src"] == f"'self' https://127.0.0.1:{port} https://localhost:{port}"
        assert headers["content-type"] == "text/html; charset=utf-8" and headers["cross-origin-opener-policy"] == "same-origin"
        assert ("vary" in headers) == (path in ("/", "/trust")) and "camera=()" in headers["permissions-policy"]
    else:
        assert headers["content-type"].split(";")[0] == FILES[path.rpartition("/")[2]]


@pytest.mark.parametrize("host, more", [("localhost", "https://localhost:{0} "), ("[::1]:1", "https: "), ("a;script-src", ""), ("a,b", ""),
                                        ("A.LAN:1", "https://a.lan:{0} ")])
def test_the_host_gets_into_the_policy_as_a_host_alone(ca, host, more):
    port = ca.port("https")             # on the Unix socket, where any host may be asked for
    policy = ca.get("/", Host=host).expect(200).headers["content-security-policy"]
    assert policy.partition("img-src ")[2] == f"'self' {more.format(port)}https://localhost:{port}"


@pytest.mark.sanitize
@pytest.mark.parametrize("path", EVERYTHING)
def test_asking_again_costs_no_body(ca, path):
    first = get(ca, path).expect(200)
    tag, date = first.headers["etag"], first.headers["last-modified"]
    for headers in ({"If-None-Match": tag}, {"If-None-Match": f'"x", W/{tag}'}, {"If-None-Match": "*"}, {"If-Modified-Since": date}):
        again = get(ca, path, **headers).expect(304)
        assert again.body == b"" and again.headers["etag"] == tag
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    for headers in ({"If-None-Match": '"x"', "If-Modified-Since": date}, {"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
                    {"If-Modified-Since": "nonsense"}):
        assert get(ca, path, **headers).expect(200).body == first.body
    head = https.request(ca, "HEAD", path, kind="http").expect(200)
    assert head.body == b"" and head.headers["content-length"] == str(len(first.body)) and head.headers["etag"] == tag


def test_pages_have_validators_of_their_own(ca):
    tags = [get(ca, path).headers["etag"] for path in EVERYTHING if path not in ("/", "/trust")]
    assert len(set(tags)) == len(tags)
    assert get(ca, "/", VISITORS["Android"][0]).headers["etag"] == get(ca, "/trust/android").headers["etag"]


# -- what is not there, and what is not taken -----------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/trust/", "/trust/x", "/trust/IOS", "/trust/ios/", "/trust/page.html", "/index.html", "/trust/style.css/x",
                                  "/trust/~", "/TRUST", "/favicon.ico", "/trust/root.mobileconfig.xml"])
def test_there_is_nothing_else(ca, path):
    answer = get(ca, path).expect(404)
    assert answer.type == "application/problem+json" and answer.json["type"].endswith("not-found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/trust/check.svg"])
def test_it_is_only_read(ca, method, path):
    answer = https.request(ca, method, path, kind="http").expect(405)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize("kind", ["http", "https"])
@pytest.mark.parametrize("path", ["/", "/trust/check.svg", "/trust/cad-root.mobileconfig"])
def test_pages_of_others_and_names_of_others_are_refused(ca, path, kind):
    """Row 51: a name that somebody points here (rebinding), or a page elsewhere that asks for itself."""
    for headers in ({"Host": "evil.example"}, {"Host": "evil.example:8080"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
                    {"Origin": f"http://127.0.0.1:{ca.port('https')}"}):
        answer = get(ca, path, kind=kind, **headers).expect(403)
        assert not [name for name in answer.headers if name.startswith("access-control")]
    get(ca, path, kind=kind, Cookie="session=1").expect(200)        # nothing is behind it: it is as if it were not there


def ask(ca, data):
    """Bytes to plain HTTP; everything that comes back until it closes, or is silent for a moment."""
    with socket.create_connection(("127.0.0.1", ca.port("http")), timeout=cadtest.ANSWER_S) as sock:
        sock.sendall(data)
        found = b""
        while cadtest.polled(sock, select.POLLIN, 0.1 if found else cadtest.ANSWER_S):
            part = sock.recv(65536)
            if not part:
                break
            found += part
    return found


REQUESTS = {
    "two lengths": (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", {400}),
    "length and chunks": (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "gzip coding": (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", {400}),
    "a bare LF": (b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", {400}),
    "NUL in a field": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", {400}),
    "a folded field": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", {400}),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", {400}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "a body": (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", {413}),
    "a huge body": (b"GET /trust/check.svg HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n", {413}),
    "dots": (b"GET /trust/../v1/ca HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
    "encoded dots": (b"GET /trust/%2e%2e/v1/ca HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
    "an encoded NUL": (b"GET /trust/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}),
    "an encoded name": (b"GET /trust/%69os HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}),
    "an empty segment": (b"GET //trust/ios HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}),
    "a long path": (b"GET /trust/" + b"a" * 16384 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404, 414}),
    "an absolute target": (b"GET http://localhost/trust/ios HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404, 405}),
    "CONNECT": (b"CONNECT evil:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404, 405}),
    "another parameter": (b"GET /trust/check.svg?1&1=2&a=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", {200, 400}),
}


@pytest.mark.sanitize
@pytest.mark.parametrize("why", REQUESTS)
def test_what_hides_something_gets_no_page(ca, why):
    """Rows 46, 48, 49. What follows in the same bytes is never taken for a request of its own."""
    request, statuses = REQUESTS[why]
    found = ask(ca, request)
    assert int(found.split(b" ", 2)[1]) in statuses, found[:300]
    assert found.count(b"HTTP/1.1 ") == 1
    get(ca, "/").expect(200)


@pytest.mark.parametrize("header", [{"Accept": "image/*;q=x,\xff"}, {"Accept-Charset": "utf-7"}, {"Accept-Encoding": "gzip, br"},
                                    {"Accept-Language": "de"}, {"Range": "bytes=0-1"}, {"Authorization": "Bearer nonsense"}])
def test_odd_wishes_get_the_page_as_it_is(ca, header):
    answer = get(ca, "/", **{name: value.encode("latin-1") for name, value in header.items()}).expect(200)
    assert answer.body == get(ca, "/").body and "content-encoding" not in answer.headers
