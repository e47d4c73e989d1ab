/* The few system interfaces that Cython does not ship: epoll, and sockets without a Python object each. */
#ifndef SERINUS_NET_H
#define SERINUS_NET_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static inline int64_t serinus_now(void) { /* nanoseconds of CLOCK_MONOTONIC */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline ssize_t serinus_sendv(int fd, struct iovec *v, int n) {
    struct msghdr m;
    if (n == 1) return send(fd, v->iov_base, v->iov_len, MSG_NOSIGNAL);
    memset(&m, 0, sizeof m);
    m.msg_iov = v;
    m.msg_iovlen = n;
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static inline int serinus_accept(int fd, struct sockaddr_storage *peer) {
    socklen_t n = sizeof *peer;
    return accept4(fd, (struct sockaddr *)peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static inline void serinus_no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* The next close answers with RST: the peer must not take a cut message for a whole one. */
static inline void serinus_reset_on_close(int fd) {
    struct linger l = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

static inline int serinus_socket_error(int fd) {
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n)) return errno;
    return error;
}

/* Begins to connect; the socket, or -errno. */
static inline int serinus_connect(const struct sockaddr_storage *to, socklen_t n) {
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;
    if (fd < 0) return -errno;
    if (to->ss_family != AF_UNIX) serinus_no_delay(fd);
    if (connect(fd, (const struct sockaddr *)to, n) == 0 || errno == EINPROGRESS) return fd;
    error = errno;
    close(fd);
    return -error;
}

/* Is there anything to read, or an end, on a connection that should be quiet? */
static inline int serinus_is_quiet(int fd) {
    char c;
    return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* Fills an address from text; its length, or 0. */
static inline socklen_t serinus_address(struct sockaddr_storage *to, int family, const char *host, int port) {
    memset(to, 0, sizeof *to);
    to->ss_family = family;
    if (family == AF_INET) {
        struct sockaddr_in *a = (struct sockaddr_in *)to;
        a->sin_port = htons(port);
        return inet_pton(family, host, &a->sin_addr) == 1 ? sizeof *a : 0;
    }
    if (family == AF_INET6) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)to;
        a->sin6_port = htons(port);
        return inet_pton(family, host, &a->sin6_addr) == 1 ? sizeof *a : 0;
    }
    if (family == AF_UNIX) {
        struct sockaddr_un *a = (struct sockaddr_un *)to;
        if (strlen(host) >= sizeof a->sun_path) return 0;
        strcpy(a->sun_path, host);
        return sizeof *a;
    }
    return 0;
}

/* The text of a peer's address without its port: its length, 0 for a unix socket. `text` has room for 64 bytes. */
static inline int serinus_peer_text(const struct sockaddr_storage *peer, char *text) {
    if (peer->ss_family == AF_INET)
        return inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, text, 64) ? (int)strlen(text) : 0;
    if (peer->ss_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)peer)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(a)) return inet_ntop(AF_INET, a->s6_addr + 12, text, 64) ? (int)strlen(text) : 0;
        return inet_ntop(AF_INET6, a, text, 64) ? (int)strlen(text) : 0;
    }
    return 0;
}

/* "host:port" of our end of a connection, for HTTP/1.0 requests without Host. */
static inline int serinus_local_text(int fd, char *text) {
    struct sockaddr_storage us;
    socklen_t n = sizeof us;
    char host[64];
    if (getsockname(fd, (struct sockaddr *)&us, &n)) return 0;
    if (us.ss_family == AF_INET && inet_ntop(AF_INET, &((struct sockaddr_in *)&us)->sin_addr, host, 64))
        return sprintf(text, "%s:%d", host, ntohs(((struct sockaddr_in *)&us)->sin_port));
    if (us.ss_family == AF_INET6 && inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&us)->sin6_addr, host, 64))
        return sprintf(text, "[%s]:%d", host, ntohs(((struct sockaddr_in6 *)&us)->sin6_port));
    return sprintf(text, "localhost");
}
#endif
