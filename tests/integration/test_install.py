"""The build as a packager sees it: `meson install` with DESTDIR, hardened programs, `meson devenv`."""
import os
import subprocess

import pytest

import cadtest

BUILD = cadtest.BUILD


def run(*argv, **more):
    return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=120, **more).stdout


@pytest.fixture(scope="module")
def destdir(tmp_path_factory):
    where = tmp_path_factory.mktemp("destdir")
    run("meson", "install", "-C", str(BUILD), "--no-rebuild", "--destdir", str(where))
    return where


def installed(destdir):
    return {os.path.relpath(os.path.join(folder, name), destdir)
            for folder, _, names in os.walk(destdir) for name in names}


@pytest.mark.parametrize("suffix", [
    "sbin/cad", "sbin/cad-signer", "bin/cactl", "man/man1/cactl.1", "man/man8/cad.8", "man/man5/cad.conf.5",
    "bash-completion/completions/cactl", "systemd/system/cactl-renew.timer", "doc/cad/examples/cad.dnssd",
    "doc/cad/examples/cad.avahi.service",
])
def test_install_puts_files_where_debian_expects_them(destdir, suffix):
    assert any(name.endswith(suffix) for name in installed(destdir)), sorted(installed(destdir))


def test_cad_finds_its_signer_where_it_was_installed(destdir):
    folders = {os.path.dirname(name) for name in installed(destdir) if os.path.basename(name) in ("cad", "cad-signer")}
    assert len(folders) == 1


PROGRAMS = ["daemon/cad", "daemon/cad-signer", "client/cactl"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_are_hardened(program):
    path = str(BUILD / program)
    if "__asan_init" in run("nm", "-D", path):
        pytest.skip("a sanitizer build")
    headers = run("readelf", "-W", "-h", "-l", "-d", path)
    assert "DYN (" in headers, "not position independent"
    assert "GNU_RELRO" in headers and "BIND_NOW" in headers, "RELRO is not full"
    stack = next(line for line in headers.splitlines() if "GNU_STACK" in line)
    assert "RWE" not in stack, "the stack is executable"
    symbols = run("readelf", "-W", "--dyn-syms", path)
    assert "__stack_chk_fail" in symbols, "no stack protector"
    assert "_chk@" in symbols, "not fortified"
    # the note on the whole program says nothing here: Debian's start-up objects are built without
    assert run("objdump", "-d", "--no-show-raw-insn", path).count("endbr64") > 50, "no CET"


@pytest.mark.parametrize("program", ["daemon/cad-signer"])
def test_signer_links_no_network_and_no_database(program):
    needed = run("readelf", "-W", "-d", str(BUILD / program))
    for library in ("libmicrohttpd", "libsqlite3", "libcurl", "libjansson", "libsystemd"):
        assert library not in needed


def test_devenv_has_the_programs_and_a_ca_of_its_own():
    script = "for p in cad cad-signer cactl; do command -v $p; done; cad check-config; cactl status || true"
    lines = run("meson", "devenv", "-C", str(BUILD), "sh", "-c", script).splitlines()
    for program in PROGRAMS:
        assert str(BUILD / program) in lines, lines
    assert any(f"state in {BUILD}/state, socket {BUILD}/state/cad.sock," in line for line in lines), lines
    assert any("cactl" in line and f"{BUILD}/state/cad.sock" in line for line in lines), "cactl looks elsewhere"
