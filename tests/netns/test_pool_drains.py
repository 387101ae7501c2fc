# SPDX-License-Identifier: MIT
"""A pool address with `drain = true` keeps what is bound on it and gets nothing new; taken out of the
pool its sessions end."""

import lab as labs
from packets import Connection, TcpEcho, drain


def test_an_address_goes_out_of_service(bare_lab):
    bare_lab.start_daemon()
    with TcpEcho(bare_lab.server, labs.SERVER, 7) as echo, \
            Connection(bare_lab.client, labs.embed(labs.SERVER), 7) as old:
        old.talk()
        bare_lab.write_config(nat64={"pool4": [{"address": labs.POOL, "drain": True},
                                               labs.POOL_ROUTED]})
        bare_lab.viaduct("reload")
        old.talk()
        with Connection(bare_lab.client, labs.embed(labs.SERVER), 7) as new:
            new.talk()
            assert [peer[0] for peer in echo.peers] == [labs.POOL, labs.POOL_ROUTED]
            used = {item["address"]: item["tcp"] for item in bare_lab.show("pools")}
            assert used == {labs.POOL: 1, labs.POOL_ROUTED: 1}
            bare_lab.write_config(nat64={"pool4": [labs.POOL_ROUTED]})
            bare_lab.viaduct("reload")
            new.talk()
            drain(lambda: len(bare_lab.sessions(protocol="tcp")) == 1)
            assert len(bare_lab.sessions(protocol="tcp")) == 1
