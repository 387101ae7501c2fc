/* SPDX-License-Identifier: MIT
 *
 * A program as they were written for the toa.ko of NAT64 clouds: it accepts one connection after another and
 * prints what accept and getsockopt 4096 say. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct toa_nat64_peer {
  struct in6_addr saddr;
  unsigned short port;
};

int main(int argc, char **argv) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

  if (argc != 2)
    return 2;
  address.sin_port = htons((unsigned short)atoi(argv[1]));
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 16) < 0)
    return 1;
  printf("listens\n");
  fflush(stdout);
  for (;;) {
    struct sockaddr_in client;
    socklen_t client_length = sizeof client;
    struct {
      struct toa_nat64_peer peer;
      unsigned char behind[8];
    } answer;
    socklen_t length = sizeof answer.peer;
    char text[INET6_ADDRSTRLEN], four[INET_ADDRSTRLEN];
    int connection = accept(listener, (struct sockaddr *)&client, &client_length);

    if (connection < 0)
      return 1;
    memset(&answer, 0xee, sizeof answer);
    inet_ntop(AF_INET, &client.sin_addr, four, sizeof four);
    if (getsockopt(connection, IPPROTO_IP, 4096, &answer.peer, &length) == 0)
      printf("%s nat64 [%s]:%u length %u behind %02x\n", four,
             inet_ntop(AF_INET6, &answer.peer.saddr, text, sizeof text), ntohs(answer.peer.port),
             (unsigned)length, answer.behind[0]);
    else
      printf("%s error %d\n", four, errno);
    fflush(stdout);
    close(connection);
  }
}
