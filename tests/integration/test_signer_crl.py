"""CRLs of the real cad-signer, asked for by a cad that may be in other hands.

What it may choose is who is revoked, when and why, times within bounds and a number that rises; all else is the signer's, and nothing
that it hands over (a file that shrinks, that lies, that it can still write to) does any harm.
"""

import contextlib
import datetime
import os
import pathlib
import random
import resource
import socket
import struct
import tempfile
import threading
import time

import der
import pytest
import signertest
from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID
from signertest import CRL, CRL_OK, DAY, ERROR, HELLO, STATUS, Signer, crl_entry, faked, frame, issue_frame, memfd


@pytest.fixture(scope="module")
def signer():
    with Signer() as one:
        one.issue().expect("certificate")
        one.crl().expect("crl")
        yield one


def check_intact(signer):
    """Alive, and good wishes of both kinds are served."""
    assert signer.alive(), signer.tail()
    signer.issue().expect("certificate")
    read(signer, signer.crl([crl_entry(5)]))


def issuer_of(signer, name="int-1"):
    return signer.root() if name == "root" else signer.issuers()[name][1]


def read(signer, answer, issuer="int-1"):
    """The CRL as the cryptography package reads it, its signature checked."""
    crl = x509.load_der_x509_crl(answer.expect("crl").der)
    assert crl.is_signature_valid(issuer_of(signer, issuer).public_key())
    assert answer.fields[0].decode() == issuer
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == answer.number
    return crl


def refused(signer, slug, field=None, **wish):
    lines, open_before = len(signer.crl_lines()), signer.descriptors()
    answer = signer.crl(**wish)
    assert answer.slug == slug, repr(answer)
    if field is not None:
        assert answer.field == field, repr(answer)
    assert len(signer.crl_lines()) == lines, "a refusal left a line in the log"
    signer.wait_until(lambda: signer.descriptors() <= open_before, 5, "a descriptor stays open")
    check_intact(signer)
    return answer


# -- What is granted ---------------------------------------------------------------------------

def test_a_crl_says_what_was_asked_for_and_nothing_else(signer):
    now = int(time.time())
    entries = [crl_entry(0x10 << 144 | 7, 1, now - 100), crl_entry(0x80, 6, now - 50), crl_entry(1, 0, 0)]
    answer = signer.crl(entries, number=0, this_update=now - 300, next_update=now + DAY)
    crl, issuer = read(signer, answer), issuer_of(signer)
    assert crl.issuer == issuer.subject
    assert tbs_parts(answer.der)[2] == issuer.subject.public_bytes(), "octet for octet"
    utc = datetime.timezone.utc
    assert crl.last_update.replace(tzinfo=utc).timestamp() == now - 300
    assert crl.next_update.replace(tzinfo=utc).timestamp() == now + DAY
    assert [entry.serial_number for entry in crl] == [0x10 << 144 | 7, 0x80, 1]
    assert [reason(entry) for entry in crl] == ["key_compromise", "certificate_hold", None]
    assert [extension.oid.dotted_string for extension in crl.extensions] == ["2.5.29.35", "2.5.29.20"]
    assert not any(extension.critical for extension in crl.extensions)
    key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == key_id
    line = signer.crl_lines()[-1]
    assert line["issuer"] == "int-1" and int(line["number"]) == answer.number and line["entries"] == "3"


def elements(octets):
    """The elements of a SEQUENCE's content, headers included."""
    found, at = [], 0
    while at < len(octets):
        start, length, at = at, octets[at + 1], at + 2
        if length >= 0x80:
            count = length & 0x7f
            length, at = int.from_bytes(octets[at:at + count], "big"), at + count
        at += length
        found.append(octets[start:at])
    return found


def content(element):
    return element[2 if element[1] < 0x80 else 2 + (element[1] & 0x7f):]


def tbs_parts(octets):
    return elements(content(elements(content(octets))[0]))


def reason(entry):
    with contextlib.suppress(x509.ExtensionNotFound):
        return entry.extensions.get_extension_for_oid(CRLEntryExtensionOID.CRL_REASON).value.reason.name
    return None


def test_an_empty_list_is_left_out(signer):
    octets = signer.crl().expect("crl").der
    assert [part[0] for part in tbs_parts(octets)] == [0x02, 0x30, 0x30, 0x17, 0x17, 0xa0]


def test_no_descriptor_is_needed_for_none(signer):
    signer.send(signer.crl_frame(0, 0, id=77))
    answer, fds = signer.receive_with()
    assert answer.type == CRL_OK and answer.id == 77 and len(fds) == 1
    os.close(fds[0])


@pytest.mark.parametrize("issuer", ["int-1", "int-2", "root"])
def test_every_issuer_signs_its_own(signer, issuer):
    crl = read(signer, signer.crl([crl_entry(9)], issuer=issuer), issuer)
    assert crl.issuer == issuer_of(signer, issuer).subject


@pytest.mark.parametrize("reason_code", [0, 1, 2, 3, 4, 5, 6, 9, 10])
def test_every_reason_of_a_full_crl(signer, reason_code):
    entry = next(iter(read(signer, signer.crl([crl_entry(3, reason_code)]))))
    assert (reason(entry) is None) == (reason_code == 0)


def test_times_from_2050_are_generalized(signer):
    octets = signer.crl([crl_entry(1, 0, 2524607999), crl_entry(2, 0, 2524608000)]).expect("crl").der
    first, second = elements(content(tbs_parts(octets)[5]))
    assert elements(content(first))[1] == b"\x17\x0d491231235959Z"
    assert elements(content(second))[1] == b"\x18\x0f20500101000000Z"


# -- What is not -------------------------------------------------------------------------------

@pytest.mark.parametrize("issuer", ["", "int-9", "ROOT", "root/../int-1", "int-1\0", "x" * 15])
def test_an_issuer_that_is_none(signer, issuer):
    refused(signer, "message-malformed" if "\0" in issuer else "ca-missing", issuer=issuer)


@pytest.mark.parametrize("this_update, next_update, field", [
    (-300, 401 * DAY, "next_update"), (-300, 100 * 365 * DAY, "next_update"), (-300, 0, "next_update"),
    (-300, -10, "next_update"), (3600, DAY, "this_update"), (-2 * DAY, DAY, "this_update"),
    (-300, 2 ** 62, "next_update"), (-2 ** 62, DAY, "this_update")])
def test_times_out_of_range(signer, this_update, next_update, field):
    now = int(time.time())
    refused(signer, "validity-out-of-range", field, this_update=now + this_update,
            next_update=now + next_update)


@pytest.mark.parametrize("why, entry", {
    "no serial": crl_entry(b""), "21 octets": crl_entry(b"\1" * 20, size=21), "255 octets": crl_entry(b"\1", size=255),
    "zero": crl_entry(b"\0"), "a zero in front": crl_entry(b"\0\1"), "160 bits": crl_entry(b"\x80" + b"\1" * 19),
    "octets behind the serial": crl_entry(b"\1\2", size=1), "reason 7": crl_entry(1, 7),
    "removeFromCRL": crl_entry(1, 8), "reason 11": crl_entry(1, 11), "reason 255": crl_entry(1, 255),
    "a reserved octet": crl_entry(1, pad=b"\0\1"), "before 1970": crl_entry(1, at=-1),
    "after 9999": crl_entry(1, at=253402300800), "the last of all times": crl_entry(1, at=2 ** 63 - 1),
    "a hole": bytes(32)}.items())
def test_one_bad_entry_refuses_the_whole_wish(signer, why, entry):
    for place in (0, 2999):
        entries = [crl_entry(i + 1) for i in range(3000)]
        entries[place] = entry
        assert f"entry {place} " in refused(signer, "request-malformed", entries=entries).text, why


@pytest.mark.parametrize("count", [0, 1, 2, 4, 1000, 4_000_000, 4_000_001, -1, 2 ** 63 - 1, -2 ** 63, 2 ** 59 + 3])
def test_a_count_that_lies(signer, count):
    refused(signer, "request-malformed", entries=[crl_entry(i + 1) for i in range(3)], count=count)


def test_a_size_between_two_entries(signer):
    fd = memfd(crl_entry(1) + b"\0")
    refused(signer, "request-malformed", fd=fd, count=1)
    os.close(fd)


@pytest.mark.parametrize("seals", [0, 2, 4, 8, 2 | 4, 2 | 8, 4 | 8, 2 | 4 | 16, 1])
def test_a_file_that_is_not_sealed(signer, seals):
    fd = memfd(crl_entry(1), seals)
    assert "sealed" in refused(signer, "request-malformed", fd=fd, count=1).text
    os.close(fd)


def open_other(kind, stack):
    """A descriptor that is no file in memory; @stack closes it."""
    if kind == "socket":
        return [stack.enter_context(end) for end in socket.socketpair()][0].fileno()
    if kind == "disk":
        file = stack.enter_context(tempfile.TemporaryFile())
        file.write(crl_entry(1))
        file.flush()
        return file.fileno()
    ends = {"pipe": os.pipe, "terminal": os.openpty, "device": lambda: [os.open("/dev/zero", os.O_RDONLY)],
            "folder": lambda: [os.open("/", os.O_RDONLY)]}[kind]()
    for end in ends:
        stack.callback(os.close, end)
    return ends[0]


@pytest.mark.parametrize("kind", ["socket", "disk", "pipe", "terminal", "device", "folder"])
def test_what_is_no_file_in_memory(signer, kind):
    with contextlib.ExitStack() as stack:
        refused(signer, "request-malformed", fd=open_other(kind, stack), count=1)


def test_entries_without_their_file(signer):
    signer.send(signer.crl_frame(0, 3, id=5))
    assert signer.receive().slug == "request-malformed"
    for count in (2, 3, 200):
        fd = memfd(crl_entry(1))
        signer.send_with(signer.crl_frame(0, 1, id=6), [fd] * count)
        assert signer.receive().slug == "request-malformed"
        os.close(fd)
    check_intact(signer)


def test_a_file_that_shrinks_while_it_is_read(signer):
    """Were it taken unsealed: cut at all moments of the reading, it is refused each time."""
    for _ in range(30):
        fd = memfd(b"".join(crl_entry(i + 1) for i in range(20000)), 0)
        timer = threading.Timer(random.random() / 500, os.ftruncate, (fd, 32))
        timer.start()
        assert signer.crl(fd=fd, count=20000).slug == "request-malformed"
        timer.join()
        os.close(fd)
    check_intact(signer)


# -- Frames ------------------------------------------------------------------------------------

def test_frames_that_are_no_wish(signer):
    good = signer.crl_frame(0, 0)
    bad = [good[:cut] for cut in range(12, len(good))]
    bad = [int.to_bytes(len(octets), 4, "big") + octets[4:] for octets in bad]
    bad += [frame(CRL, 9), frame(CRL, 9, *[b""] * 5), signer.crl_frame(0, 0, more=[b""]),
            signer.crl_frame(0, 0, more=[b"30020100"]), signer.crl_frame(0, 0, issuer="x" * 16)]
    for octets in bad:
        assert signer.raw(octets, 9).slug == "message-malformed"
    check_intact(signer)


def test_a_certificate_shaped_wish(signer):
    """What cad says of a leaf, or of a CA certificate of version 1, as the fields of a CRL; and the other way round."""
    leaf = issue_frame(9)
    assert signer.raw(leaf[:5] + bytes([CRL]) + leaf[6:], 9).slug == "message-malformed"
    wish = signer.crl_frame(0, 0, id=9)
    assert signer.raw(wish[:5] + bytes([signertest.ISSUE]) + wish[6:], 9).slug == "message-malformed"
    name = issuer_of(signer).subject.public_bytes()
    spki = der.seq(b"\x30\x00", b"\x03\x01\x00")
    v1 = der.seq(b"\x02\x01\x01", b"\x30\x00", name, der.seq(b"\x17\x0d700101000000Z" * 2), name, spki)
    assert signer.raw(frame(CRL, 9, "int-1", v1, 0, 0, 0), 9).slug == "message-malformed"
    for entries in ([v1[i:i + 32].ljust(32, b"\0") for i in range(0, len(v1), 32)], [b"\x30" * 32]):
        refused(signer, "request-malformed", entries=entries)


def test_what_it_signs_can_never_be_a_certificate(signer):
    """Of the element that would be a validity, whatever was asked for, a TBSCertList has a time."""
    for entries in ([], [crl_entry(1)], [crl_entry(b"\x30" * 19, 1, 0)] * 50):
        parts = tbs_parts(signer.crl(entries).expect("crl").der)
        assert parts[0] == b"\x02\x01\x01" and parts[3][0] in (0x17, 0x18) and parts[4][0] in (0x17, 0x18)


# -- Descriptors beside everything -------------------------------------------------------------

def test_descriptors_beside_frames_that_take_none_are_closed(signer):
    null = os.open("/dev/null", os.O_RDONLY)
    check_intact(signer)
    before = signer.descriptors()
    for count in (1, 2, 3, 100):
        for octets, kinds in ((issue_frame(1), "certificate"), (frame(HELLO, 1), "hello"), (frame(STATUS, 1), "status"),
                              (b"rubbish", "error"), (frame(200, 1), "error"), (frame(CRL, 1), "error"),
                              (frame(STATUS, 1, "x"), "error")):
            for _ in range(20):
                signer.send_with(octets, [null] * count)
                signer.receive().expect(kinds)
    signer.wait_until(lambda: signer.descriptors() <= before, 5, "descriptors stay open")
    os.close(null)
    check_intact(signer)


@pytest.mark.slow
def test_a_thousand_in_a_row_leave_nothing_behind(signer):
    entries = [crl_entry(i + 1, i % 7) for i in range(3000)]
    fd = memfd(b"".join(entries))
    last = signer.crl(fd=fd, count=3000).number
    before, memory = signer.descriptors(), signer.memory_kib()
    for i in range(1000):
        answer = signer.crl(fd=fd, count=3000, number=last + 1 + i)
        assert answer.kind == "crl" and answer.number == last + 1 + i, repr(answer)
    os.close(fd)
    signer.wait_until(lambda: signer.descriptors() <= before, 5, "descriptors stay open")
    if not signertest.sanitized():
        assert signer.memory_kib() - memory < 2048
    check_intact(signer)


def test_too_many_at_once_are_refused_and_the_others_made(signer):
    entries = memfd(b"".join(crl_entry(i + 1) for i in range(30000)))
    check_intact(signer)
    before = signer.descriptors()
    for i in range(60):
        signer.send_with(signer.crl_frame(0, 30000, id=1000 + i), [entries])
    kinds = []
    for _ in range(60):
        answer, fds = signer.receive_with()
        kinds.append(answer.kind if answer.type == CRL_OK else answer.slug)
        [os.close(fd) for fd in fds]
    assert set(kinds) == {"crl", "overloaded"} and kinds.count("crl") >= 16
    os.close(entries)
    signer.wait_until(lambda: signer.descriptors() <= before, 5, "descriptors stay open")
    check_intact(signer)


def test_answers_that_are_not_taken_hold_nothing_for_long(signer):
    """A cad that asks and never reads: the signer goes on, and closes what it could not send."""
    check_intact(signer)
    before = signer.descriptors()
    entries = memfd(crl_entry(1))
    with Signer() as other:
        other.socket.setblocking(False)
        for i in range(500):
            try:
                socket.send_fds(other.socket, [other.crl_frame(0, 1, id=i)], [entries])
            except OSError:     # it is full, or holds too many descriptors
                time.sleep(0.002)
        time.sleep(3)
        assert other.alive() and other.descriptors() < before + 40
    os.close(entries)


def lingering():
    """A socket whose close() waits a minute, and the end that it waits for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(65536))
    return ours, theirs


def test_what_blocks_when_it_is_closed_does_not_keep_it_alive_without_cad():
    """Else the next cad would find the old signer in its way, with all its threads inside close()."""
    with Signer() as other:
        sockets = [lingering() for _ in range(4)]       # as many as it has threads, at most
        other.socket.setblocking(False)
        full_since = time.monotonic()
        while time.monotonic() - full_since < 0.3:      # until all of them wait to answer
            with contextlib.suppress(BlockingIOError):
                other.socket.send(b"rubbish")
                full_since = time.monotonic()
        other.socket.recv(signertest.FRAME_MAX)         # so much rubbish goes before the sockets that they are closed here first
        for ours, _ in sockets:
            while True:
                try:
                    socket.send_fds(other.socket, [b"rubbish"], [ours.fileno()])
                    break
                except BlockingIOError:
                    with contextlib.suppress(BlockingIOError):
                        other.socket.recv(signertest.FRAME_MAX)
            ours.close()
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                other.socket.recv(signertest.FRAME_MAX)
        assert other.alive()
        other.socket.close()
        assert other.process.wait(signertest.STOP_S) == 0
        for _, theirs in sockets:
            theirs.close()


# -- Numbers -----------------------------------------------------------------------------------

def test_numbers_only_rise(signer):
    first = signer.crl(number=0).number
    assert abs(first - time.time()) < 86400
    for number in (first, first - 1, 1, -1, -2 ** 63):
        answer = refused(signer, "state-conflict", "number", number=number)
        assert str(first) in answer.text or number < first
    now = signer.crl(number=0).number
    assert signer.crl(number=now + 1).number == now + 1
    assert signer.crl(number=0).number >= now + 2


def test_no_wish_uses_the_numbers_up(signer):
    for number in (2 ** 63 - 1, 2 ** 62, int(time.time()) + 10 * DAY):
        refused(signer, "state-conflict", "number", number=number)


def test_each_issuer_has_numbers_of_its_own():
    with Signer() as signer:
        now = int(time.time())
        for issuer in ("int-1", "int-2", "root"):
            assert signer.crl(issuer=issuer, number=now).number == now
            assert signer.crl(issuer=issuer, number=now).slug == "state-conflict"


@pytest.mark.parametrize("lost", [None, "mark", "log"])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_numbers_survive_a_restart_and_the_loss_of_log_or_mark(lost, end):
    with Signer() as signer:
        number = signer.crl(number=int(time.time()) + 1000).number
        signer.crl(issuer="root").expect("crl")
        getattr(signer, end)()
        if lost:
            (signer.state / lost).unlink()
        signer.start()
        assert signer.crl(number=number).slug == "state-conflict"
        assert signer.crl(number=0).number == number + 1
        assert signer.crl(number=number + 2).number == number + 2


def test_a_number_is_on_disk_before_its_crl_leaves():
    """The mark is written at once, not within the second as for certificates."""
    with Signer() as signer:
        for _ in range(5):
            number = signer.crl(number=0).number
            assert f"crl int-1 {number}\n" in (signer.state / "mark").read_text()


def test_a_crl_is_no_issued_certificate():
    """`cad init --again` is there as long as nothing was issued: CRLs do not take it away."""
    with Signer() as signer:
        for issuer in ("int-1", "root"):
            signer.crl(issuer=issuer).expect("crl")
        number = signer.crl().number
        for _ in range(2):
            signer.stop()
            signer.start()
            assert signer.status()["issued"] == 0
        signer.stop()
        again = signer.command("init", "--again")
        assert again.returncode == 0, again.stderr
        signer.start()
        assert signer.crl().number > number


# -- The root's key ----------------------------------------------------------------------------

def test_the_root_signs_as_long_as_its_key_is_there():
    with Signer() as signer:
        read(signer, signer.crl(issuer="root"), "root")
        (signer.state / "ca/root.key").rename(signer.base / "root.key")
        answer = signer.crl(issuer="root")
        assert answer.slug == "state-conflict" and "root.key" in answer.text
        check_intact(signer)
        (signer.base / "root.key").rename(signer.state / "ca/root.key")
        read(signer, signer.crl(issuer="root"), "root")
        signer.stop()
        (signer.state / "ca/root.key").rename(signer.base / "root.key")
        signer.start()
        assert signer.crl(issuer="root").slug == "state-conflict"
        check_intact(signer)


def test_an_encrypted_root_key_signs_too(tmp_path):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    passphrase.chmod(0o600)
    with Signer(init=("--passphrase-file", passphrase), args=("--passphrase-file", str(passphrase))) as signer:
        read(signer, signer.crl(issuer="root"), "root")


# -- Time, disk, sandbox -----------------------------------------------------------------------

def test_a_clock_that_cannot_be_right_signs_no_crl():
    with Signer() as signer:
        signer.stop()
        signer.start(faked("@1970-01-02 00:00:00"))
        answer = signer.crl(this_update=86400, next_update=2 * 86400)
        assert answer.slug == "clock" and "1970" in answer.text, repr(answer)


def test_a_full_disk_refuses_and_heals_by_itself():
    with Signer() as signer:
        number = signer.crl().number
        size = (signer.state / "log").stat().st_size
        resource.prlimit(signer.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        for _ in range(3):
            assert signer.crl().slug in ("io", "store", "store-full")
        assert (signer.state / "log").stat().st_size == size
        resource.prlimit(signer.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signer.wait_until(lambda: signer.status()["log"] == "", 10, "status does not heal")
        assert signer.crl().number > number


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees and bounds the descriptors of a process that is not dumpable")
def test_without_room_for_a_descriptor_it_refuses_and_goes_on():
    with Signer() as signer:
        signer.crl().expect("crl")
        resource.prlimit(signer.process.pid, resource.RLIMIT_NOFILE, (signer.descriptors(), 1024))
        assert signer.crl([crl_entry(1)]).type == ERROR
        signer.issue().expect("certificate")
        resource.prlimit(signer.process.pid, resource.RLIMIT_NOFILE, (1024, 1024))
        check_intact(signer)


def test_the_thread_that_makes_crls_is_in_a_sandbox_of_its_own(signer):
    if signertest.sanitized():
        pytest.skip("no filters in a build with a sanitizer")
    threads = {}
    for thread in pathlib.Path(f"/proc/{signer.process.pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        threads.setdefault(status["Name"], []).append(int(status.get("Seccomp_filters", 0)))
    assert len(threads["crl"]) == 1 and threads["crl"][0] == max(max(found) for found in threads.values())


def test_many_crls_an_hour_are_too_many():
    """As many as certificates with the shipped limit, so that nobody rolls his traces out of the log; a restart does not forget them."""
    with Signer() as signer:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"{now} crl issuer=int-2 number=5 entries=0 this-update={now} next-update={now}\n"
        signer.stop()
        log = signer.state / "log"
        log.write_text(line * 9998)
        log.chmod(0o600)
        signer.start()
        assert [signer.crl().kind for _ in range(4)] == ["crl", "crl", "error", "error"]
        signer.stop()
        signer.start()
        assert signer.crl().slug == "rate-limited"
        signer.issue().expect("certificate")


# -- Size and company --------------------------------------------------------------------------

def million(count=1_000_000):
    rng = random.Random(5)
    return b"".join(crl_entry(b"\x10" + rng.randbytes(18), i % 7) for i in range(count))


@pytest.fixture(scope="module")
def million_entries():
    fd = memfd(million())
    yield fd
    os.close(fd)


def test_a_million_entries_in_two_seconds_and_64_mb(signer, million_entries):
    """Two seconds of the signer's own: the machine may be busy with others."""
    before, start = signer.memory_kib("VmRSS"), signer.cpu_ns()
    answer = signer.crl(fd=million_entries, count=1_000_000)
    took = (signer.cpu_ns() - start) / 1e9
    assert answer.kind == "crl", repr(answer)
    more = signer.memory_kib("VmHWM") - before
    print(f"{took:.2f} s of processor time, {len(answer.der)} octets, {more} KiB more at the most")
    if not signertest.sanitized():
        assert took < 2 and more < 4 * 1024     # the entries' own 32 MB lie in the file that both share


def receive_and_close(signer):
    answer, fds = signer.receive_with()
    for fd in fds:
        os.close(fd)
    return answer


def issue_latencies(signer, seconds):
    """One certificate after the other. Return: milliseconds of each, sorted; how many CRLs came between them"""
    took, crls, until = [], 0, time.monotonic() + seconds
    while time.monotonic() < until:
        start = time.monotonic()
        signer.send(issue_frame(1))
        while (answer := receive_and_close(signer)).id != 1:
            crls += answer.expect("crl").type == CRL_OK
        took.append((time.monotonic() - start) * 1000)
    return sorted(took), crls


@pytest.mark.slow
def test_certificates_are_issued_while_crls_are_made(signer, million_entries):
    alone, _ = issue_latencies(signer, 2)
    for i in range(16):
        signer.send_with(signer.crl_frame(0, 1_000_000, id=500 + i), [million_entries])
    beside, crls = issue_latencies(signer, 2)
    for _ in range(16 - crls):
        receive_and_close(signer).expect("crl")
    print(f"{len(alone)} certificates alone, p99 {alone[len(alone) * 99 // 100]:.2f} ms; {len(beside)} beside {crls} CRLs "
          f"of a million, p99 {beside[len(beside) * 99 // 100]:.2f} ms, longest {beside[-1]:.1f} ms")
    assert len(beside) > len(alone) / 3 and beside[-1] < 1000
    check_intact(signer)
