/* The client of long runs: asks without pause, one request at a time on each connection, and checks every byte.
 *
 * An answer must be a 200 whose body is that of one of two versions, whole, with nothing behind it. Some connections
 * are kept for ever, the others are closed by the client after each answer. What was seen is written to a board in
 * shared memory, as 64-bit integers; whoever maps it too can hold the requests there, and is told when none is in flight.
 *
 * usage: checked_client BOARD_FD PORT KEPT FRESH BODY_FILE BODY_FILE      (on 127.0.0.1)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#define ROOM (16 * 1024)

/* tests/support/checked_client.py names these, in this order. */
struct board {
    uint64_t hold;      /* set by others: ask nothing more */
    uint64_t is_idle;   /* that is so, and everything is answered */
    uint64_t answers[2];
    uint64_t refused;   /* connections that could not be made */
    uint64_t closed;    /* kept connections that ended while nothing was asked */
    uint64_t lost;      /* requests whose connection ended before a byte of their answer */
    uint64_t truncated; /* the same, in the answer */
    uint64_t failed;    /* whole answers that are no 200 */
    uint64_t wrong;     /* bytes that are no such answer, or that nobody asked for */
    uint64_t connections;
};

struct client {
    int fd;
    bool is_kept, is_asking;
    size_t length;
    char got[ROOM + 1];
};

static const char request[] = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
static int poll_fd, port;
static unsigned long in_flight;
static bool is_held; /* what the board says, looked at once in each round */
static volatile struct board *board;
static const char *bodies[2];
static size_t body_lengths[2];

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

static void leave(struct client *client)
{
    close(client->fd); /* and out of the epoll set */
    client->fd = -1;
    in_flight -= client->is_asking;
    client->is_asking = false;
    client->length = 0;
}

static bool join(struct client *client)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (client->fd < 0)
        fail("socket");
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        board->refused++;
        leave(client);
        return false;
    }
    board->connections++;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
        fail("epoll_ctl");
    return true;
}

static void ask(struct client *client)
{
    if (client->is_asking || is_held || (client->fd < 0 && !join(client)))
        return;
    client->is_asking = true;
    in_flight++;
    if (write(client->fd, request, sizeof request - 1) != sizeof request - 1) {
        board->lost++;
        leave(client);
    }
}

/* The bytes of the answer at the beginning of what came, once it is whole; 0 before that, -1 when it is none. */
static ssize_t whole_answer(const char *text, size_t length, const char **body, size_t *body_length)
{
    const char *end = strstr(text, "\r\n\r\n");
    if (!end)
        return length < ROOM ? 0 : -1;
    const char *field = strcasestr(text, "\r\ncontent-length: ");
    if (strncmp(text, "HTTP/1.1 ", 9) || !field || field > end)
        return -1;
    *body = end + 4;
    *body_length = strtoul(field + 18, NULL, 10);
    size_t whole = *body - text + *body_length;
    if (whole > ROOM)
        return -1;
    return length < whole ? 0 : (ssize_t)whole;
}

static void count(const char *text, const char *body, size_t length)
{
    if (strncmp(text + 9, "200 ", 4)) {
        board->failed++;
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (length == body_lengths[i] && !memcmp(body, bodies[i], length)) {
            board->answers[i]++;
            return;
        }
    }
    board->wrong++;
}

/* What came may be the end of an answer: then the next request may go. */
static void look(struct client *client)
{
    const char *body = NULL;
    size_t body_length = 0;
    client->got[client->length] = 0;
    ssize_t whole = client->is_asking ? whole_answer(client->got, client->length, &body, &body_length) : -1;
    if (whole == 0)
        return;
    if (whole != (ssize_t)client->length) {
        board->wrong++;
        leave(client);
        return;
    }
    count(client->got, body, body_length);
    client->is_asking = false;
    client->length = 0;
    in_flight--;
    if (!client->is_kept)
        leave(client);
}

static void hear(struct client *client)
{
    ssize_t got = read(client->fd, client->got + client->length, ROOM - client->length);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        if (client->length)
            board->truncated++;
        else if (client->is_asking)
            board->lost++;
        else
            board->closed++;
        leave(client);
        return;
    }
    client->length += got;
    look(client);
}

int main(int words_count, char **words)
{
    size_t board_length;
    if (words_count != 7) {
        fprintf(stderr, "usage: checked_client BOARD_FD PORT KEPT FRESH BODY_FILE BODY_FILE\n");
        return 2;
    }
    board = mapped(atoi(words[1]), PROT_READ | PROT_WRITE, &board_length);
    if (board_length < sizeof *board) {
        fprintf(stderr, "checked_client: the board is too small\n");
        return 2;
    }
    port = atoi(words[2]);
    int kept = atoi(words[3]), clients_count = kept + atoi(words[4]);
    for (int i = 0; i < 2; i++)
        bodies[i] = mapped(open(words[5 + i], O_RDONLY), PROT_READ, &body_lengths[i]);
    struct client *clients = calloc(clients_count, sizeof *clients);
    poll_fd = epoll_create1(0);
    if (!clients || poll_fd < 0)
        fail("start");
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < clients_count; i++) {
        clients[i].fd = -1;
        clients[i].is_kept = i < kept;
    }
    struct epoll_event events[EVENTS];
    for (;;) {
        is_held = board->hold;
        for (int i = 0; i < clients_count; i++)
            ask(&clients[i]);
        board->is_idle = is_held && !in_flight;
        int ready = epoll_wait(poll_fd, events, EVENTS, is_held ? 1 : 1000);
        for (int i = 0; i < ready; i++)
            hear(events[i].data.ptr);
    }
}
