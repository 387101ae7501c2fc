# SPDX-License-Identifier: MIT
"""An IPv6 host asks an IPv4 server for names, past the DNS64: over UDP, over TCP, and answers that
are too large for the one and come by the other."""

import pytest

import lab as labs

TARGET = labs.embed(labs.SERVER)


@pytest.fixture(scope="module", params=[True, False], ids=["offloads", "no-offloads"])
def lab(request):
    with labs.Lab(offloads=request.param) as made:
        made.start_dns()
        made.start_daemon()
        yield made


def dig(lab, name, *options):
    return lab.client.run("dig", f"@{TARGET}", "+tries=2", "+time=2", "+nocookie", name, *options,
                          check=False).stdout


def strings(said):
    """The letters whose long strings the answer has."""
    return "".join(letter for letter in "abcdefghijklmnop" if f'"{letter * 232}"' in said)


def test_udp_and_tcp(lab):
    for option, word in (("+notcp", "(UDP)"), ("+tcp", "(TCP)")):
        said = dig(lab, "web.example.net", "A", option)
        assert f"\tA\t{labs.SERVER}" in said and word in said, said


@pytest.mark.parametrize("options", [["+noedns"], ["+bufsize=512"], ["+bufsize=1232"]])
def test_a_large_answer_falls_back_to_tcp(lab, options):
    cut = dig(lab, "huge.example.net", "TXT", "+ignore", *options)
    assert " tc " in cut and "(UDP)" in cut and strings(cut) == "", cut
    whole = dig(lab, "huge.example.net", "TXT", *options)
    assert "Truncated, retrying in TCP mode" in whole and "(TCP)" in whole
    assert strings(whole) == "abcdefghijklmnop"


def test_an_answer_that_fills_one_packet(lab):
    said = dig(lab, "big.example.net", "TXT", "+bufsize=1400", "+ignore")
    assert "(UDP)" in said and " tc " not in said and strings(said) == "abcde", said


def test_an_answer_in_fragments(lab):
    """Some 3,900 bytes: three fragments from the server."""
    said = dig(lab, "huge.example.net", "TXT", "+bufsize=4096", "+ignore")
    assert "(UDP)" in said and " tc " not in said, said
    assert strings(said) == "abcdefghijklmnop"
