# SPDX-License-Identifier: MIT
"""Static maps: hosts of the IPv6 side that have an IPv4 address of their own, in both directions,
with real programs and without a session.

The far client's network is mapped as a range, the client alone; its address lies in the subnet of
the gateway's port, where only ARP can find it.
"""

import socket

import pytest
from scapy.layers.inet import ICMP, IP, UDP

import lab as labs
from packets import Capture, UdpEcho, drain, injector, udp_socket

FAR_OUTSIDE, CLIENT_OUTSIDE = "203.0.113.16", "198.51.100.99"
ROUTERS = ["203.0.113.250", "203.0.113.251"]
MAPS = [{"map": {"inside": "2001:db8:67::/122", "outside": "203.0.113.0/26"}},
        {"map": {"inside": f"{labs.CLIENT}/128", "outside": f"{CLIENT_OUTSIDE}/32"}}]
SO_NO_CHECK = 11


def mapped_lab(offloads=True, mtu6=None):
    lab = labs.Lab(offloads=offloads)
    lab.extend(mtu6=mtu6)
    lab.start_daemon(nat64={"router_pool4": ROUTERS}, static=MAPS)
    return lab


@pytest.fixture(scope="module", params=[True, False], ids=["offloads", "no-offloads"])
def lab(request):
    with mapped_lab(request.param) as made:
        yield made
        assert made.show("sessions") == []


def answers(where, *ping):
    return " 0% packet loss" in where.run("ping", "-n", "-c", "2", "-i", "0.2", "-W", "10", *ping,
                                          check=False).stdout


def test_ping_both_ways(lab):
    assert answers(lab.far_client, labs.embed(labs.FAR_SERVER))
    assert answers(lab.far_server, FAR_OUTSIDE)
    assert answers(lab.server, CLIENT_OUTSIDE)  # found by ARP


def test_the_source_is_the_map_s_and_the_port_stays(lab):
    with UdpEcho(lab.far_server, labs.FAR_SERVER, 7001):
        host = udp_socket(lab.far_client, labs.FAR_CLIENT, 1234)
        host.sendto(b"who am I?", (labs.embed(labs.FAR_SERVER), 7001))
        assert host.recv(200) == f"{FAR_OUTSIDE} 1234".encode()
        host.close()


@pytest.mark.parametrize("reverse", [[], ["-R"]], ids=["in", "out"])
def test_iperf_from_ipv4(lab, reverse):
    server = lab.start("iperf3", lab.far_client, ["iperf3", "-s", "-1", "-p", "5201"])
    listening = lambda: ":5201" in lab.far_client.run("ss", "-Htln").stdout  # noqa: E731
    labs.wait_for("iperf3 listens", listening)
    said = lab.far_server.run("iperf3", "-c", FAR_OUTSIDE, "-p", "5201", "-n", "20M",
                              *reverse).stdout
    assert "iperf Done." in said
    server.stop()


def test_http_both_ways(lab):
    (lab.folder / "here").write_text("as it is\n" * 100_000, encoding="ascii")
    serve = ["python3", "-m", "http.server", "--directory", lab.folder]
    servers = [lab.start("http6", lab.far_client, [*serve, "--bind", "::", "8000"]),
               lab.start("http4", lab.far_server, [*serve, "--bind", "0.0.0.0", "8000"])]
    for where, host in ((lab.far_server, FAR_OUTSIDE),
                        (lab.far_client, f"[{labs.embed(labs.FAR_SERVER)}]")):
        said = where.run("curl", "-g", "-sS", "--fail", "--retry", "20", "--retry-connrefused",
                         "--retry-delay", "1", "--max-time", "20", f"http://{host}:8000/here")
        assert said.stdout == "as it is\n" * 100_000
    for server in servers:
        server.stop()


def test_traceroute_from_ipv4_shows_the_routers_addresses(lab):
    """The gateway's second pass, client (mapped), router6 and the host; the first and the third
    have no IPv4 address."""
    said = lab.far_server.run("traceroute", "-4", "-n", "-q", "1", "-N", "1", "-w", "2", "-m", "10",
                              "-I", FAR_OUTSIDE).stdout
    hops = [line.split()[1] for line in said.splitlines()[1:]]
    assert hops[:3] == ["192.0.2.9", "192.0.2.129", labs.GATEWAY4], said
    assert hops[4] == CLIENT_OUTSIDE or hops[4] in ROUTERS, said  # by which address it answers
    assert hops[3] in ROUTERS and hops[5] in ROUTERS and hops[6:] == [FAR_OUTSIDE], said
    again = lab.far_server.run("mtr", "-4", "--no-dns", "--report", "--report-wide",
                               "--report-cycles", "2", "--interval", "0.3", "--gracetime", "1",
                               FAR_OUTSIDE).stdout
    rows = [line.replace(".|--", " ").split() for line in again.splitlines() if ".|--" in line]
    assert [row[1] for row in rows] == hops, again
    assert {row[2] for row in rows} == {"0.0%"}, again


def test_traceroute_from_the_mapped_host(lab):
    said = lab.far_client.run("traceroute", "-6", "-n", "-q", "1", "-N", "1", "-w", "2", "-m", "12",
                              labs.embed(labs.FAR_SERVER)).stdout
    hops = [line.split()[1] for line in said.splitlines()[1:]]
    assert hops[2:] == [labs.GATEWAY6, *map(labs.embed, (
        labs.GATEWAY4, labs.SERVER, labs.ROUTER4, labs.FAR_SERVER))], said


def test_mapped_hosts_among_each_other(lab):
    """By their IPv4 addresses: two passes, and each sees the other's outside address."""
    assert answers(lab.client, "-I", labs.CLIENT, labs.embed(FAR_OUTSIDE))
    one = udp_socket(lab.client, labs.CLIENT, 4001)
    other = udp_socket(lab.far_client, labs.FAR_CLIENT, 4002)
    one.sendto(b"to the other", (labs.embed(FAR_OUTSIDE), 4002))
    assert other.recvfrom(200)[:2] == (b"to the other", (labs.embed(CLIENT_OUTSIDE), 4001, 0, 0))
    other.sendto(b"and back", (labs.embed(CLIENT_OUTSIDE), 4001))
    assert one.recvfrom(200)[:2] == (b"and back", (labs.embed(FAR_OUTSIDE), 4002, 0, 0))
    other.close()
    # An error takes the same two passes: the port is closed now.
    one.connect((labs.embed(FAR_OUTSIDE), 4002))
    one.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        one.recv(200)
    one.close()


@pytest.mark.parametrize("protocol", [50, 132, 253])
def test_any_protocol_passes_unchanged(lab, protocol):
    data = bytes(range(256)) + b"odd"
    ends = {6: lab.far_client.socket(socket.AF_INET6, socket.SOCK_RAW, protocol),
            4: lab.far_server.socket(socket.AF_INET, socket.SOCK_RAW, protocol)}
    for end in ends.values():
        end.settimeout(3)
    ends[6].sendto(data, (labs.embed(labs.FAR_SERVER), 0))
    packet, sender = ends[4].recvfrom(2000)
    assert (packet[20:], sender[0]) == (data, FAR_OUTSIDE)
    ends[4].sendto(data, (FAR_OUTSIDE, 0))
    packet, sender = ends[6].recvfrom(2000)
    assert (packet, sender[0]) == (data, labs.embed(labs.FAR_SERVER))
    for end in ends.values():
        end.close()


def test_udp_without_a_checksum_gets_one(lab):
    receiver = lab.far_client.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    receiver.bind(("::", 9))
    receiver.settimeout(3)
    sender = lab.far_server.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    sender.sendto(b"no checksum", (FAR_OUTSIDE, 9))
    assert receiver.recvfrom(200)[0] == b"no checksum"  # a wrong one would not arrive
    sender.close()
    receiver.close()


def test_show_maps(lab):
    assert lab.show("maps") == [
        {"inside": f"{labs.CLIENT}/128", "outside": f"{CLIENT_OUTSIDE}/32"},
        {"inside": "2001:db8:67::/122", "outside": "203.0.113.0/26"}]
    table = [line.split() for line in lab.viaduct("show", "maps").stdout.splitlines()]
    assert table == [["INSIDE", "OUTSIDE"], [f"{labs.CLIENT}/128", f"{CLIENT_OUTSIDE}/32"],
                     ["2001:db8:67::/122", "203.0.113.0/26"]]


def test_a_smaller_link_towards_the_mapped_host():
    """The router in front of it has no IPv4 address, and its word still arrives."""
    with mapped_lab(mtu6=1400) as lab:
        said = lab.far_server.run("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1400",
                                  FAR_OUTSIDE, check=False).stdout
        assert "(mtu = 1380)" in said, said
        assert answers(lab.far_server, "-M", "do", "-s", "1352", FAR_OUTSIDE)


def test_no_mtu_beyond_our_own_is_passed_on(lab):
    """1490 and 20 more is what no port of the gateway carries (RFC 7915 4.2)."""
    sent = IP(src=CLIENT_OUTSIDE, dst=labs.SERVER, flags="DF") / UDP(sport=1, dport=2) / bytes(8)
    error = IP(src=labs.SERVER, dst=CLIENT_OUTSIDE) / ICMP(type=3, code=4, nexthopmtu=1490) / sent
    with injector(lab.server, "eth0", lab.gateway.mac("wan")) as send, Capture(
            lab.client, "eth0") as seen:
        send(error)

        def told():
            return [int.from_bytes(packet[44:48], "big") for packet in seen.arrived
                    if packet[6] == 58 and packet[40] == 2]

        drain(told)
    assert told() == [1500]


def leading_to_nvi0(lab):
    return {route["dst"] for route in lab.gateway.ip_json("-4", "route", "show", "dev", "nvi0")}


def test_reload_adds_and_takes_away(bare_lab):
    bare_lab.start_daemon()
    before = leading_to_nvi0(bare_lab)
    with UdpEcho(bare_lab.server, labs.SERVER, 7001):
        host = udp_socket(bare_lab.client, labs.CLIENT, 1234)

        def source():
            host.sendto(b"who am I?", (labs.embed(labs.SERVER), 7001))
            return host.recv(200).decode().split()[0]

        assert source() == labs.POOL and len(bare_lab.sessions()) == 1
        bare_lab.write_config(static=MAPS)
        bare_lab.viaduct("reload")
        assert source() == CLIENT_OUTSIDE
        assert leading_to_nvi0(bare_lab) == before | {"203.0.113.0/26", CLIENT_OUTSIDE}
        assert bare_lab.sessions() == []  # those of a host that is mapped now have ended
        bare_lab.write_config()
        bare_lab.viaduct("reload")
        assert source() == labs.POOL
        assert leading_to_nvi0(bare_lab) == before
        assert CLIENT_OUTSIDE not in str(bare_lab.gateway.ip_json("neighbour", "show", "proxy"))
        host.close()
    assert bare_lab.show("maps") == []
