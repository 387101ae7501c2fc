# SPDX-License-Identifier: MIT
"""The configurations of the programs that a lab starts (lab.py), but for viaductd's own."""

NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 2048; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  server {{ listen {address}:80; root {folder}/www; }}
{more}
}}
"""

UNBOUND = """\
server:
  interface: {address}
  access-control: 0.0.0.0/0 allow
  do-ip6: no
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  do-daemonize: no
  module-config: "iterator"
  num-threads: 1
  max-udp-size: 4096
remote-control:
  control-enable: no
"""
