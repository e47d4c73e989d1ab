/* The floor: relays bytes between a client and an upstream and parses nothing.
 *
 * Two reads and two writes a request and a share of an epoll_wait: what no proxy in user space can go below without
 * splicing. Every tenth connection goes to the second upstream, so the split is 90/10 by connection, not by request.
 * No header is added. A side that cannot take all bytes stops the other side's reading until it has taken them.
 * When either side ends, both are closed: nothing is lost, because a side is only read when the other has taken all.
 *
 * usage: floor LISTEN_PORT UPSTREAM_PORT UPSTREAM_PORT      (all on 127.0.0.1)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

struct side {
    int fd;
    struct side *other;
    char *rest; /* bytes the socket did not take yet; NULL when it took all */
    size_t length, offset;
};

struct pair {
    struct side client, upstream;
    bool ended;
    struct pair *next_ended;
};

static int poll_fd;
static char buffer[256 * 1024];
static struct pair *ended; /* freed after the batch of events: a later event of the batch may still point into one */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *checked(void *memory)
{
    if (!memory)
        fail("malloc");
    return memory;
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void watch(int operation, struct side *side, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = side};
    if (epoll_ctl(poll_fd, operation, side->fd, &event) < 0)
        fail("epoll_ctl");
}

/* Closing also takes the sockets out of the epoll set. */
static void end(struct pair *pair)
{
    if (pair->ended)
        return;
    pair->ended = true;
    close(pair->client.fd);
    close(pair->upstream.fd);
    pair->next_ended = ended;
    ended = pair;
}

static void free_ended(void)
{
    while (ended) {
        struct pair *pair = ended;
        ended = pair->next_ended;
        free(pair->client.rest);
        free(pair->upstream.rest);
        free(pair);
    }
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EINTR;
}

static void keep_rest(struct side *side, const char *bytes, size_t length)
{
    side->rest = memcpy(checked(malloc(length)), bytes, length);
    side->length = length;
    side->offset = 0;
    watch(EPOLL_CTL_MOD, side, EPOLLOUT);
    watch(EPOLL_CTL_MOD, side->other, 0);
}

static bool relay(struct side *from)
{
    ssize_t got = read(from->fd, buffer, sizeof buffer);
    if (got <= 0)
        return got < 0 && would_block();
    ssize_t put = write(from->other->fd, buffer, got);
    if (put < 0 && !would_block())
        return false;
    if (put < got)
        keep_rest(from->other, buffer + (put > 0 ? put : 0), got - (put > 0 ? put : 0));
    return true;
}

static bool flush(struct side *side)
{
    ssize_t put = write(side->fd, side->rest + side->offset, side->length - side->offset);
    if (put < 0)
        return would_block();
    side->offset += put;
    if (side->offset == side->length) {
        free(side->rest);
        side->rest = NULL;
        watch(EPOLL_CTL_MOD, side, EPOLLIN);
        watch(EPOLL_CTL_MOD, side->other, EPOLLIN);
    }
    return true;
}

static void join(int client, int upstream_port)
{
    int one = 1, upstream = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(upstream_port);
    if (upstream < 0)
        fail("socket");
    if (connect(upstream, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect to the upstream");
    fcntl(upstream, F_SETFL, O_NONBLOCK);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);

    struct pair *pair = checked(calloc(1, sizeof *pair));
    pair->client = (struct side){.fd = client, .other = &pair->upstream};
    pair->upstream = (struct side){.fd = upstream, .other = &pair->client};
    watch(EPOLL_CTL_ADD, &pair->client, EPOLLIN);
    watch(EPOLL_CTL_ADD, &pair->upstream, EPOLLIN);
}

static struct pair *pair_of(struct side *side)
{
    struct side *client = side < side->other ? side : side->other;
    return (struct pair *)client; /* the client is the first member, the upstream the second */
}

static int listen_on(int port)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = loopback(port);
    if (listener < 0)
        fail("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        fail("listen");
    return listener;
}

int main(int count, char **words)
{
    if (count != 4) {
        fprintf(stderr, "usage: floor LISTEN_PORT UPSTREAM_PORT UPSTREAM_PORT\n");
        return 2;
    }
    int upstreams[] = {atoi(words[2]), atoi(words[3])};
    struct side listener = {.fd = listen_on(atoi(words[1]))};
    unsigned long accepted = 0;
    struct epoll_event events[EVENTS];

    signal(SIGPIPE, SIG_IGN);
    poll_fd = epoll_create1(0);
    watch(EPOLL_CTL_ADD, &listener, EPOLLIN);
    for (;;) {
        int ready = epoll_wait(poll_fd, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct side *side = events[i].data.ptr;
            if (side == &listener) {
                int client = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK);
                if (client >= 0)
                    join(client, upstreams[accepted++ % 10 == 9]);
            } else if (!pair_of(side)->ended && !(side->rest ? flush(side) : relay(side))) {
                end(pair_of(side));
            }
        }
        free_ended();
    }
}
