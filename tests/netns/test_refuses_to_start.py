# SPDX-License-Identifier: MIT
"""What is missing or in the way is said in a sentence, with what to do; nothing is left behind."""

import shutil

import pytest

import lab as labs


def refused(lab, names, wrapper=()):
    """viaductd ends by itself, exit code 1, names what it means, leaves the gateway as it was."""
    links = lab.gateway.ip_json("link", "show")
    routes = lab.gateway.routes()
    done = lab.run_daemon_once(wrapper)
    said = done.stdout + done.stderr
    assert done.returncode == 1, f"exit code {done.returncode}\n{said}"
    for name in names:
        assert name in said, f"{name!r} is not in:\n{said}"
    assert [link["ifname"] for link in lab.gateway.ip_json("link", "show")] == [
        link["ifname"] for link in links]
    assert lab.gateway.routes() == routes
    return said


def test_a_pool_address_that_is_local(bare_lab):
    bare_lab.gateway.ip("address", "add", f"{labs.POOL}/32", "dev", "wan")
    bare_lab.write_config()
    refused(bare_lab, [labs.POOL])


def test_no_tun_device(bare_lab):
    bare_lab.write_config()
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"]
    refused(bare_lab, ["/dev/net/tun"], hidden)


def test_no_capability(bare_lab):
    bare_lab.write_config()
    refused(bare_lab, ["CAP_NET_ADMIN"], ["setpriv", "--bounding-set=-net_admin",
                                          "--inh-caps=-net_admin"])


def test_no_memory_for_the_tables(bare_lab):
    bare_lab.write_config(nat64={"max_sessions": 16_000_000})
    refused(bare_lab, ["memory", "max_sessions"], ["prlimit", "--as=1000000000"])


def test_no_unbound(bare_lab):
    bare_lab.write_config(dns64=bare_lab.DNS64)
    program = shutil.which("unbound", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin")
    hidden = ["unshare", "--mount", "sh", "-c",
              'mount --bind /dev/null "$1" && shift && exec "$@"', "sh", program]
    refused(bare_lab, ["unbound"], hidden)


def test_an_interface_of_that_name_that_is_not_ours(bare_lab):
    bare_lab.gateway.ip("link", "add", "nvi0", "type", "veth", "peer", "name", "nvi0peer")
    bare_lab.write_config()
    refused(bare_lab, ["nvi0"])


def test_a_folder_for_the_socket_that_does_not_exist(bare_lab):
    bare_lab.write_config(control={"socket": "/nonexistent/viaduct/control.sock"})
    refused(bare_lab, ["/nonexistent/viaduct"])


@pytest.mark.parametrize("same", ["socket", "interface"])
def test_a_second_instance(nat_lab, same):
    if same == "interface":
        nat_lab.write_config(control={"socket": str(nat_lab.folder / "second.sock")})
    else:
        nat_lab.write_config(nvi={"name": "nvi1"}, nat64={"prefix": "2001:db8:64:64::/96",
                                                         "pool4": ["203.0.113.99"]})
    refused(nat_lab, ["nvi0"] if same == "interface" else [str(nat_lab.socket_path)])
    assert nat_lab.show("status")[0]["pid"] == nat_lab.daemon.pid
    nat_lab.client.run("ping", "-c", "1", "-W", "2", labs.embed(labs.SERVER))
