"""Scene: a monitoring appliance. It makes a self-signed certificate at its first boot; then the one of the CA replaces it in nginx.

Installing the box again, and getting another certificate, leaves nothing stale.
"""

import json
import shutil

import cadtest
import device as devices
import pytest
import servers
from test_cactl import cactl
from test_scene_console import curl, der_of

from deploying import Place

NAME = "monitor.lan"


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon


def get_certificate(ca, folder):
    """As a device gets it. Return: the certificate that nginx is to present."""
    done = cactl("issue", NAME, "--out", folder, "--force", at=ca)
    assert done.returncode == 0, done.stderr
    return der_of(folder / f"{NAME}.pem")


def test_the_certificate_of_the_ca_replaces_its_own_and_nothing_stale_is_left(ca, tmp_path):
    place, source = Place(tmp_path), tmp_path / "source"
    with servers.running("nginx", tmp_path / "box") as box:
        own, first = box.shows(), get_certificate(ca, source)
        assert not curl(box, source / "root.pem", NAME)[0]
        place.install("nginx", *box.options(), "--from", source)
        box.comes_to_show(first)
        passed, text = curl(box, source / "root.pem", NAME)
        assert passed, text
        assert "up to date" in place.install("nginx", *box.options(), "--from", source).stdout

        # another certificate, with another key
        second = get_certificate(ca, source)
        assert second != first
        place.install("nginx", *box.options(), "--from", source)
        box.comes_to_show(second)
        assert curl(box, source / "root.pem", NAME)[0]

        # the box is installed again: it has its own certificate, and the same command is run
        box.self_sign()
        box.process.send_signal(servers.signal.SIGHUP)
        box.comes_to_show(servers.ssl.PEM_cert_to_DER_cert(box.cert.read_text()))
        assert box.shows() not in (own, first, second)
        place.install("nginx", *box.options(), "--from", source)
        box.comes_to_show(second)
        assert curl(box, source / "root.pem", NAME)[0]

        assert [path.name for path in (place.conf / "deploy.d").iterdir()] == ["nginx.conf"]
        state = json.loads(place.cactl("list", "--json").stdout)
        assert [(row["target"], row["up_to_date"]) for row in state] == [("nginx", True)]
        left = {path.name for path in box.folder.iterdir() if path.suffix == ".pem" or path.name.startswith(".")}
        assert left == {"cert.pem", "key.pem"}
        assert not list(place.state.rglob("unfinished")) and not list(place.state.rglob("*.part"))


def test_enrolled_it_is_kept_new_by_itself_and_a_box_that_is_installed_again_enrols_again(tmp_path):
    """The whole way: the box enrols by itself, nginx is told once, and every renewal reaches it."""
    with cadtest.Daemon(tcp=True) as ca, servers.running("nginx", tmp_path / "box") as box:
        device, place = devices.Device(ca), Place(tmp_path)
        place.conf, place.env["CACTL_CONFIG_DIR"] = device.conf, str(device.conf)
        device.env["CACTL_STATE_DIR"] = str(place.state)
        source = device.conf / "certs" / NAME
        try:
            devices.good(device.enroll(NAME, token=device.token(NAME, profile="server")))
            first = der_of(source / "cert.pem")
            place.install("nginx", *box.options(), "--from", source)
            box.comes_to_show(first)
            assert curl(box, source / "root.pem", NAME)[0]

            devices.good(device.run("renew", "--force", "--new-key"))
            second = der_of(source / "cert.pem")
            assert second != first
            box.comes_to_show(second)

            # installed again: its own certificate, nothing of the old set but what nginx was told
            shutil.rmtree(device.conf / "certs")
            box.self_sign()
            devices.good(device.enroll(NAME, token=device.token(NAME, profile="server")))
            third = der_of(source / "cert.pem")
            box.comes_to_show(third)
            assert third not in (first, second) and curl(box, source / "root.pem", NAME)[0]
            assert device.certs() == [NAME] and device.check(NAME)
            assert "up to date" in place.install().stdout
        finally:
            device.close()
