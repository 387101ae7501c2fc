// SPDX-License-Identifier: MIT
//
// Only in the static viaduct-agent (VIADUCT_STATIC): what comes in place of libraries that Debian has in
// no static form. libsystemd's one function that we use; GnuTLS, of which libmicrohttpd wants some names
// and we need none, since the metrics are served without TLS. A later libmicrohttpd that wants one more
// does not link.
#define _GNU_SOURCE
#include <errno.h>
#include <nss.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

// sd_notify(3): one datagram to the socket that the environment names.
int sd_notify(int unset_environment, const char *state) {
  (void)unset_environment;
  const char *path = getenv("NOTIFY_SOCKET");
  if (path == NULL)
    return 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length < 2 || length >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
    return -EINVAL;
  memcpy(address.sun_path, path, length);
  if (path[0] == '@') // the abstract name space
    address.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
  int result = sent < 0 ? -errno : 1;
  close(fd);
  return result;
}

// The name services of other distributions' files are of another libc: a group's name comes from /etc/group.
__attribute__((constructor)) static void only_files(void) {
  __nss_configure_lookup("group", "files");
}

int gnutls_global_init(void) {
  return 0;
}

void gnutls_global_deinit(void) {}

void *gnutls_malloc;

static int no_tls(void) {
  abort();
}

#define NEVER_CALLED(name) int gnutls_##name(void) __attribute__((alias("no_tls")))

NEVER_CALLED(alpn_set_protocols);
NEVER_CALLED(bye);
NEVER_CALLED(certificate_allocate_credentials);
NEVER_CALLED(certificate_free_credentials);
NEVER_CALLED(certificate_server_set_request);
NEVER_CALLED(certificate_set_dh_params);
NEVER_CALLED(certificate_set_retrieve_function2);
NEVER_CALLED(certificate_set_retrieve_function3);
NEVER_CALLED(certificate_set_x509_key_mem);
NEVER_CALLED(certificate_set_x509_key_mem2);
NEVER_CALLED(certificate_set_x509_trust_mem);
NEVER_CALLED(cipher_get);
NEVER_CALLED(credentials_set);
NEVER_CALLED(deinit);
NEVER_CALLED(dh_params_deinit);
NEVER_CALLED(dh_params_import_pkcs3);
NEVER_CALLED(dh_params_init);
NEVER_CALLED(handshake);
NEVER_CALLED(init);
NEVER_CALLED(priority_deinit);
NEVER_CALLED(priority_init);
NEVER_CALLED(priority_set);
NEVER_CALLED(protocol_get_version);
NEVER_CALLED(psk_allocate_server_credentials);
NEVER_CALLED(psk_free_server_credentials);
NEVER_CALLED(psk_set_server_credentials_function);
NEVER_CALLED(record_check_pending);
NEVER_CALLED(record_get_direction);
NEVER_CALLED(record_recv);
NEVER_CALLED(record_send);
NEVER_CALLED(session_get_ptr);
NEVER_CALLED(session_set_ptr);
NEVER_CALLED(strerror);
NEVER_CALLED(transport_set_int2);
