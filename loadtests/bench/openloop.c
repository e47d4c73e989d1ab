/* The open-loop client: sends requests when they are due, whether or not the earlier ones have been answered.
 *
 * A closed loop (wrk) waits for an answer before it asks again, so a proxy that stalls is asked less meanwhile and its
 * stall is seen once: coordinated omission. Here requests are due at random times (exponential gaps, one fixed
 * seed); a request that finds no free connection waits, and its time begins when it was due, not when it was sent.
 *
 * The latencies, nanoseconds as 64-bit integers, are written to standard output; a line of counts to standard error.
 *
 * usage: openloop PORT RATE SECONDS CONNECTIONS REQUEST_FILE
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256
#define HEAD 8192
#define PATIENCE 5000000000LL /* ns after the last request was due: what has no answer then never gets one */

struct connection {
    int fd;
    int64_t due;          /* of the request under way */
    bool is_busy;
    size_t held;          /* bytes of the head in `head` */
    int64_t left;         /* bytes of the body still to come; -1: the head is not complete */
    char head[HEAD];
};

static int poll_fd, port;
static char request[HEAD];
static ssize_t request_length;
static struct connection **idle;
static size_t idle_count;
static int64_t *waiting, *latencies;
static size_t first_waiting, past_waiting, answered, failed;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Uniform in (0, 1]; xorshift64*, always the same sequence. */
static double chance(void)
{
    static uint64_t state = 88172645463325252ULL;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return ((state * 2685821657736338717ULL >> 11) + 1) / 9007199254740993.0;
}

static void open_connection(struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        fail("epoll_ctl");
}

static void reset(struct connection *connection)
{
    close(connection->fd);
    open_connection(connection);
}

/* Send what is due, as far as connections are free. */
static void send_waiting(void)
{
    while (idle_count && first_waiting < past_waiting) {
        struct connection *connection = idle[--idle_count];
        connection->due = waiting[first_waiting++];
        connection->is_busy = true;
        connection->held = 0;
        connection->left = -1;
        if (send(connection->fd, request, request_length, MSG_NOSIGNAL) != request_length) {
            reset(connection); /* it was closed while idle; a fresh one takes the request */
            if (send(connection->fd, request, request_length, MSG_NOSIGNAL) != request_length)
                fail("send");
        }
    }
}

static void finish(struct connection *connection, bool is_good)
{
    if (is_good)
        latencies[answered++] = now() - connection->due;
    else
        failed++;
    connection->is_busy = false;
    idle[idle_count++] = connection;
}

/* The length that the complete head names; -1 without one, or when the status is not 200. */
static int64_t body_length(const char *head)
{
    if (strncmp(head, "HTTP/1.1 200", 12))
        return -1;
    for (const char *line = strchr(head, '\n'); line; line = strchr(line, '\n'))
        if (!strncasecmp(++line, "content-length:", 15))
            return atoll(line + 15);
    return -1;
}

/* False when the answer cannot be read. */
static bool take(struct connection *connection, const char *bytes, ssize_t count)
{
    if (connection->left < 0) {
        if (connection->held + count >= HEAD)
            return false;
        memcpy(connection->head + connection->held, bytes, count);
        connection->held += count;
        connection->head[connection->held] = 0;
        char *end = strstr(connection->head, "\r\n\r\n");
        if (!end)
            return true;
        *end = 0;
        int64_t length = body_length(connection->head);
        if (length < 0)
            return false;
        connection->left = length;
        count = connection->held - (end + 4 - connection->head);
    }
    connection->left -= count;
    if (connection->left < 0)
        return false;
    if (!connection->left)
        finish(connection, true);
    return true;
}

static void receive(struct connection *connection)
{
    static char buffer[64 * 1024];
    size_t room = connection->left < 0 ? HEAD - 1 - connection->held : sizeof buffer;
    ssize_t count = recv(connection->fd, buffer, room, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    bool was_busy = connection->is_busy;
    if (count > 0 && was_busy && take(connection, buffer, count))
        return;
    reset(connection); /* the end, or more than was asked for */
    if (was_busy)
        finish(connection, false);
}

int main(int count, char **words)
{
    if (count != 6) {
        fprintf(stderr, "usage: openloop PORT RATE SECONDS CONNECTIONS REQUEST_FILE\n");
        return 2;
    }
    port = atoi(words[1]);
    double rate = atof(words[2]), seconds = atof(words[3]);
    size_t connections = atoi(words[4]), total = rate * seconds;
    int file = open(words[5], O_RDONLY);
    request_length = read(file, request, sizeof request);
    if (request_length <= 0)
        fail("read");
    prctl(PR_SET_TIMERSLACK, 1); /* wake when it is time, not up to 50 µs later */
    poll_fd = epoll_create1(0);
    idle = calloc(connections, sizeof *idle);
    waiting = calloc(total, sizeof *waiting);
    latencies = calloc(total, sizeof *latencies);
    if (!idle || !waiting || !latencies)
        fail("calloc");
    for (; idle_count < connections; idle_count++) {
        if (!(idle[idle_count] = calloc(1, sizeof **idle)))
            fail("calloc");
        open_connection(idle[idle_count]);
    }

    struct epoll_event events[EVENTS];
    double due = now();
    due += 1e9 / rate * -log(chance());
    while (answered + failed < total) {
        int64_t time = now();
        for (; past_waiting < total && due <= time; due += 1e9 / rate * -log(chance()))
            waiting[past_waiting++] = due;
        if (past_waiting == total && time > waiting[total - 1] + PATIENCE)
            break;
        send_waiting();
        int64_t pause = past_waiting < total ? (int64_t)due - now() : PATIENCE;
        struct timespec timeout = {0};
        if (pause > 0)
            timeout = (struct timespec){pause / 1000000000, pause % 1000000000};
        int ready = epoll_pwait2(poll_fd, events, EVENTS, &timeout, NULL);
        for (int i = 0; i < ready; i++)
            receive(events[i].data.ptr);
    }
    fprintf(stderr, "%zu sent %zu answered %zu failed\n", past_waiting, answered, failed);
    for (size_t written = 0; written < answered * sizeof *latencies;) {
        ssize_t part = write(1, (char *)latencies + written, answered * sizeof *latencies - written);
        if (part < 0)
            fail("write");
        written += part;
    }
    return 0;
}
