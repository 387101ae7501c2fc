# SPDX-License-Identifier: MIT
"""A real sshd on the server and what an ssh on the client needs to log in there: keys and known
hosts of its own, nothing of this machine's."""

import lab as labs

PORT = 22
TARGET = labs.embed(labs.SERVER)

# sshd insists on /run/sshd and on an account that is not locked; a login must not depend on what
# this machine has in root's home.
_IN_A_WORLD_OF_ITS_OWN = ("mount -t tmpfs none /run && mkdir -m 755 /run/sshd && "
                          'mount --bind "$1/passwd" /etc/passwd && '
                          'mount --bind "$1/shadow" /etc/shadow && shift && exec "$@"')
_PASSWD = """\
root:x:0:0:root:/:/bin/sh
sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin
"""


class SshServer:
    """sshd, started; `options` are what ssh and everything that calls it must be given."""

    def __init__(self, lab, address=labs.SERVER):
        self._folder = lab.folder / "ssh"
        self._folder.mkdir(mode=0o700)
        for name in ("host", "user"):
            lab.server.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                           self._folder / name)
        (self._folder / "passwd").write_text(_PASSWD, encoding="ascii")
        (self._folder / "shadow").write_text("root:*:19000:0:99999:7:::\n", encoding="ascii")
        (self._folder / "config").write_text(
            f"ListenAddress {address}\nPort {PORT}\nHostKey {self._folder}/host\n"
            f"AuthorizedKeysFile {self._folder}/user.pub\nStrictModes no\nUsePAM no\n"
            "PermitRootLogin prohibit-password\nPidFile none\n", encoding="ascii")
        (self._folder / "known").write_text(
            "* " + (self._folder / "host.pub").read_text(encoding="ascii"), encoding="ascii")
        lab.start_listening("sshd", [
            "unshare", "--mount", "sh", "-c", _IN_A_WORLD_OF_ITS_OWN, "sh", self._folder,
            "/usr/sbin/sshd", "-D", "-e", "-f", self._folder / "config"], address, PORT)
        self.options = [
            "-F", "none", "-l", "root", "-i", str(self._folder / "user"),
            "-o", f"UserKnownHostsFile={self._folder}/known", "-o", "BatchMode=yes",
            "-o", "IdentityAgent=none", "-o", "ConnectTimeout=5"]
