/* The backend of the benchmark: answers every request with the bytes of a file and counts the requests.
 *
 * The same for every proxy, and cheap enough never to be the bottleneck. A request ends with the empty line after its
 * head and the body whose length the head says (no
 * chunked requests); only then is it answered. The counters are the clock of the benchmark: one 64-bit integer per service, written by this
 * program only, in the order of the arguments, in a file that the benchmark maps too.
 *
 * usage: backend COUNTERS_FD RESPONSE_FILE LISTEN_FD...
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS 256

struct connection {
    int fd;
    volatile uint64_t *counter;
    bool is_listener;
    int matched;       /* bytes of the end of a head seen at the end of what was read */
    int named;         /* bytes of the name of the length seen at the end of what was read */
    bool in_length;    /* its value is being read */
    uint64_t length;   /* of the body that the head names */
    uint64_t body;     /* bytes of it still to come */
    unsigned owed;     /* responses still to be written; the first of them from `offset` on */
    size_t offset;
    bool waits_to_write;
};

static int poll_fd;
static const char *response;
static size_t response_length;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *mapped(int fd, int protection, size_t *length)
{
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        fail("open");
    *length = status.st_size;
    void *memory = mmap(NULL, *length, protection, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    return memory;
}

static void watch(int operation, struct connection *connection, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poll_fd, operation, connection->fd, &event) < 0)
        fail("epoll_ctl");
}

static void add(int fd, volatile uint64_t *counter, bool is_listener)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        fail("calloc");
    connection->fd = fd;
    connection->counter = counter;
    connection->is_listener = is_listener;
    watch(EPOLL_CTL_ADD, connection, EPOLLIN);
}

/* One byte of a head: looks for its end and for the length of the body. True at the end. */
static bool end_of_head(struct connection *connection, char byte)
{
    static const char end[] = "\r\n\r\n", name[] = "\ncontent-length:";
    if (connection->in_length) {
        if (byte >= '0' && byte <= '9')
            connection->length = connection->length * 10 + (byte - '0');
        else if (byte != ' ')
            connection->in_length = false;
    }
    char lower = byte >= 'A' && byte <= 'Z' ? byte | 32 : byte;
    connection->named = lower == name[connection->named] ? connection->named + 1 : byte == '\n';
    if (connection->named == sizeof name - 1) {
        connection->named = 0;
        connection->in_length = true;
    }
    connection->matched = byte == end[connection->matched] ? connection->matched + 1 : byte == '\r';
    if (connection->matched < 4)
        return false;
    connection->matched = connection->named = 0;
    return true;
}

/* How many requests are complete with these bytes. */
static unsigned count_requests(struct connection *connection, const char *bytes, ssize_t length)
{
    unsigned complete = 0;
    for (ssize_t i = 0; i < length;) {
        if (connection->body) {
            uint64_t part = connection->body < (uint64_t)(length - i) ? connection->body : (uint64_t)(length - i);
            connection->body -= part;
            i += part;
            complete += !connection->body;
        } else if (end_of_head(connection, bytes[i++])) {
            connection->body = connection->length;
            connection->length = 0;
            complete += !connection->body;
        }
    }
    return complete;
}

/* False when the connection is over. */
static bool answer(struct connection *connection)
{
    while (connection->owed) {
        ssize_t put = write(connection->fd, response + connection->offset, response_length - connection->offset);
        if (put < 0 && errno != EAGAIN)
            return false;
        if (put < 0)
            break;
        connection->offset += put;
        if (connection->offset == response_length) {
            connection->offset = 0;
            connection->owed--;
        }
    }
    bool must_wait = connection->owed > 0;
    if (must_wait != connection->waits_to_write) {
        connection->waits_to_write = must_wait;
        watch(EPOLL_CTL_MOD, connection, must_wait ? EPOLLOUT : EPOLLIN);
    }
    return true;
}

/* False when the connection is over. */
static bool serve(struct connection *connection)
{
    static char buffer[64 * 1024];
    if (!connection->waits_to_write) {
        ssize_t got = read(connection->fd, buffer, sizeof buffer);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        unsigned requests = count_requests(connection, buffer, got);
        *connection->counter += requests;
        connection->owed += requests;
    }
    return answer(connection);
}

static void accept_from(struct connection *listener)
{
    int one = 1, fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    add(fd, listener->counter, false);
}

int main(int count, char **words)
{
    if (count < 4) {
        fprintf(stderr, "usage: backend COUNTERS_FD RESPONSE_FILE LISTEN_FD...\n");
        return 2;
    }
    size_t counters_length;
    uint64_t *counters = mapped(atoi(words[1]), PROT_READ | PROT_WRITE, &counters_length);
    response = mapped(open(words[2], O_RDONLY), PROT_READ, &response_length);
    if (counters_length < (count - 3) * sizeof *counters) {
        fprintf(stderr, "backend: the file of the counters is too short\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    poll_fd = epoll_create1(0);
    for (int i = 3; i < count; i++)
        add(atoi(words[i]), &counters[i - 3], true);

    struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(poll_fd, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->is_listener) {
                accept_from(connection);
            } else if (!serve(connection)) {
                close(connection->fd);
                free(connection);
            }
        }
    }
}
