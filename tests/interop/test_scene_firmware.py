"""Firmware: two hundred identical widgets get a key and a certificate each, in one command. One of them is exported as C,
compiled into a TLS server with mbedTLS, as on a microcontroller, and verified by its address."""

import shutil
import subprocess

import cadtest
import certs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

CACTL = cadtest.BUILD / "client" / "cactl"
WIDGETS = 200

SERVER = r"""
/* As little as a microcontroller has: no files, all of it from arrays in flash. */
#include <stdio.h>
#include <string.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <arpa/inet.h>
#include "widget.h"

#define CHECK(call) do { int rc_ = (call); if (rc_ != 0) { printf("%s: -0x%04x\n", #call, (unsigned) -rc_); return 1; } } while (0)

/* mbedTLS knows no name constraints, and refuses a certificate with a critical extension that it does not know. A server only sends
   the intermediate; who verifies is the other side. */
static int name_constraints_are_for_others(void *context, mbedtls_x509_crt const *crt, mbedtls_x509_buf const *oid, int critical,
                                           const unsigned char *from, const unsigned char *to) {
        (void) context, (void) crt, (void) critical, (void) from, (void) to;
        return oid->len == 3 && memcmp(oid->p, "\x55\x1d\x1e", 3) == 0 ? 0 : MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE;
}

int main(void) {
        static const unsigned char page[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nI am widget 7\n";
        mbedtls_net_context listening, client;
        mbedtls_ssl_context ssl;
        mbedtls_ssl_config config;
        mbedtls_x509_crt chain;
        mbedtls_pk_context key;
        mbedtls_entropy_context entropy;
        mbedtls_ctr_drbg_context random;
        struct sockaddr_in at;
        socklen_t size = sizeof(at);

        mbedtls_net_init(&listening);
        mbedtls_ssl_config_init(&config);
        mbedtls_x509_crt_init(&chain);
        mbedtls_pk_init(&key);
        mbedtls_entropy_init(&entropy);
        mbedtls_ctr_drbg_init(&random);
        CHECK(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0));
        CHECK(mbedtls_x509_crt_parse_der(&chain, widget_certificate, WIDGET_CERTIFICATE_SIZE));
        CHECK(mbedtls_x509_crt_parse_der_with_ext_cb(&chain, widget_chain, WIDGET_CHAIN_SIZE, 0, name_constraints_are_for_others, NULL));
#if MBEDTLS_VERSION_MAJOR >= 3
        CHECK(mbedtls_pk_parse_key(&key, widget_key, WIDGET_KEY_SIZE, NULL, 0, mbedtls_ctr_drbg_random, &random));
        CHECK(mbedtls_pk_check_pair(&chain.pk, &key, mbedtls_ctr_drbg_random, &random));
#else
        CHECK(mbedtls_pk_parse_key(&key, widget_key, WIDGET_KEY_SIZE, NULL, 0));
        CHECK(mbedtls_pk_check_pair(&chain.pk, &key));
#endif
        CHECK(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT));
        mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
        CHECK(mbedtls_ssl_conf_own_cert(&config, &chain, &key));
        CHECK(mbedtls_net_bind(&listening, "127.0.0.1", "0", MBEDTLS_NET_PROTO_TCP));
        if (getsockname(listening.fd, (struct sockaddr *) &at, &size) != 0)
                return 1;
        printf("%d\n", ntohs(at.sin_port));
        fflush(stdout);
        for (;;) {
                unsigned char request[1024];

                mbedtls_net_init(&client);
                mbedtls_ssl_init(&ssl);
                CHECK(mbedtls_net_accept(&listening, &client, NULL, 0, NULL));
                CHECK(mbedtls_ssl_setup(&ssl, &config));
                mbedtls_ssl_set_bio(&ssl, &client, mbedtls_net_send, mbedtls_net_recv, NULL);
                if (mbedtls_ssl_handshake(&ssl) == 0 && mbedtls_ssl_read(&ssl, request, sizeof(request)) > 0) {
                        (void) mbedtls_ssl_write(&ssl, page, sizeof(page) - 1);
                        (void) mbedtls_ssl_close_notify(&ssl);
                }
                mbedtls_net_free(&client);
                mbedtls_ssl_free(&ssl);
        }
}
"""


def cactl(ca, *args, cwd):
    done = subprocess.run([CACTL, "--socket", ca.socket, *args], capture_output=True, text=True, timeout=120, cwd=cwd,
                          stdin=subprocess.DEVNULL, env=cadtest.environment())
    assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def widgets(ca, tmp_path_factory):
    folder = tmp_path_factory.mktemp("widgets")
    (folder / "widgets.csv").write_text("# name;address\r\n" + "".join(
        f"widget-{n}.lan;10.20.0.{n + 1};127.0.0.1\r\n" for n in range(WIDGETS)))
    out = cactl(ca, "issue", "--list", "widgets.csv", "--out", "made", "--label", "batch 1", "--profile", "device", cwd=folder)
    assert f"{WIDGETS} issued, 0 there already, 0 failed" in out
    return folder / "made"


def test_two_hundred_widgets_have_a_key_and_a_certificate_each(widgets):
    keys, serials = set(), set()
    for n in range(WIDGETS):
        leaf = x509.load_pem_x509_certificate((widgets / f"widget-{n}.lan.pem").read_bytes())
        key = load_pem_private_key((widgets / f"widget-{n}.lan-key.pem").read_bytes(), None)
        assert certs.spki(key) == certs.spki(leaf)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(name.value) for name in names] == [f"widget-{n}.lan", f"10.20.0.{n + 1}", "127.0.0.1"]
        keys.add(certs.spki(leaf))
        serials.add(leaf.serial_number)
    assert len(keys) == len(serials) == WIDGETS


def test_one_is_compiled_into_a_tls_server_and_verified_by_address(ca, widgets, tmp_path):
    for program in ("gcc", "curl"):
        if not shutil.which(program):
            pytest.skip(f"no {program}")
    cactl(ca, "cert", "export", widgets / "widget-7.lan.pem", "--format", "c-array", "--key", widgets / "widget-7.lan-key.pem", "--name",
          "widget", "--out", "widget.c", cwd=tmp_path)
    (tmp_path / "server.c").write_text(SERVER)
    built = subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-o", "server", "server.c", "widget.c", "-lmbedtls",
                            "-lmbedx509", "-lmbedcrypto"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    if "mbedtls/" in built.stderr and "No such file" in built.stderr:
        pytest.skip("no libmbedtls-dev")
    assert built.returncode == 0, built.stderr
    server = subprocess.Popen([tmp_path / "server"], stdout=subprocess.PIPE, text=True)
    try:
        port = server.stdout.readline().strip()
        assert port.isdigit(), port
        root = widgets / "root.pem"
        for url, more in [(f"https://127.0.0.1:{port}/", []),
                          (f"https://widget-7.lan:{port}/", ["--resolve", f"widget-7.lan:{port}:127.0.0.1"])]:
            done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--max-time", "20", "--cacert", root, *more, url], capture_output=True,
                                  text=True, timeout=30)
            assert done.returncode == 0 and done.stdout == "I am widget 7\n", done.stderr
        # another widget's name is not its own
        done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--max-time", "20", "--cacert", root, "--resolve",
                               f"widget-8.lan:{port}:127.0.0.1", f"https://widget-8.lan:{port}/"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 60, done.stderr
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", root, "-verify_ip", "127.0.0.1",
                               "-verify_return_error", "-brief"], input="GET / HTTP/1.0\r\n\r\n", capture_output=True, text=True, timeout=30)
        assert "Verification: OK" in done.stderr + done.stdout, done.stderr
    finally:
        server.kill()
        server.wait(10)
