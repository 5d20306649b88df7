/* SPDX-License-Identifier: MIT */
/*
 * The load generator: requests are due at times drawn beforehand (exponential gaps), whatever the
 * server does, and a latency counts from when the request was due. A request goes out on a
 * connection that has none under way, and when there is none, behind others: so a server that
 * takes everything gets everything.
 */
#include "machine.h"
#include "overload.h"

#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE_BYTES = 4096 };

struct connection {
    int fd;
    unsigned under_way;
    size_t count; /* bytes of replies that are not complete */
    char bytes[RECEIVE_BYTES];
};

struct client {
    const struct overload_load *load;
    struct overload_figures *figures;
    struct connection *connections;
    unsigned idle[OVERLOAD_CONNECTIONS]; /* a stack */
    unsigned idle_count;
    unsigned next; /* when none is idle */
    int epoll;
    uint64_t *due_ns; /* by number; 0: answered */
    uint64_t due_count;
    uint64_t random;
    uint64_t end_ns; /* of the load */
};

static void *get_memory(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);

    if (memory == NULL)
        trial_fail("calloc: %s", strerror(errno));
    return memory;
}

static void open_connections(struct client *client)
{
    const struct sockaddr *address = (const struct sockaddr *)&client->load->address;
    int on = 1;

    client->epoll = trial_check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    client->connections = get_memory(OVERLOAD_CONNECTIONS, sizeof *client->connections);
    for (unsigned index = 0; index < OVERLOAD_CONNECTIONS; index++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u32 = index };
        int fd = trial_check_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

        trial_check_errno(connect(fd, address, sizeof client->load->address), "connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        trial_check_errno(epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
        client->connections[index].fd = fd;
        client->idle[client->idle_count++] = index;
    }
}

/* --- Requests and replies -------------------------------------------------------------------- */

/* Whether the socket took it. */
static bool send_request(struct client *client, uint64_t due_ns)
{
    bool any_idle = client->idle_count > 0;
    unsigned index = any_idle ? client->idle[client->idle_count - 1] : client->next;
    struct connection *connection = &client->connections[index];
    char request[OVERLOAD_BYTES] = { 0 };
    uint64_t number = client->figures->sent;
    ssize_t sent;

    memcpy(request + OVERLOAD_NUMBER_AT, &number, sizeof number);
    sent = send(connection->fd, request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (!any_idle)
        client->next = (client->next + 1) % OVERLOAD_CONNECTIONS;
    if (sent < 0 && errno == EAGAIN)
        return false;
    if (sent != sizeof request)
        trial_fail("send to the server: %s", sent < 0 ? strerror(errno) : "a part only");
    client->idle_count -= any_idle;
    client->due_ns[number] = due_ns;
    connection->under_way++;
    client->figures->sent++;
    return true;
}

static void on_reply(struct client *client, unsigned index, const char *reply, uint64_t turn_ns)
{
    struct overload_figures *figures = client->figures;
    uint64_t number, latency_ns;

    memcpy(&number, reply + OVERLOAD_NUMBER_AT, sizeof number);
    if (number >= figures->sent || client->due_ns[number] == 0)
        trial_fail("the server answered what was not asked, or twice");
    latency_ns = turn_ns - client->due_ns[number];
    client->due_ns[number] = 0;
    if (--client->connections[index].under_way == 0)
        client->idle[client->idle_count++] = index;
    if (reply[0] == OVERLOAD_REFUSED) {
        figures->refused++;
        return;
    }
    figures->admitted++;
    histogram_add(&figures->latency_ns, latency_ns);
    figures->good += latency_ns <= OVERLOAD_LATE_MS * NS_PER_MS && turn_ns <= client->end_ns;
}

static void receive(struct client *client, unsigned index, uint64_t turn_ns)
{
    struct connection *connection = &client->connections[index];
    ssize_t count = recv(connection->fd, connection->bytes + connection->count,
                         RECEIVE_BYTES - connection->count, MSG_DONTWAIT);
    size_t used = 0;

    if (count <= 0)
        trial_fail("receive from the server: %s", count < 0 ? strerror(errno) : "it closed");
    connection->count += (size_t)count;
    for (; connection->count - used >= OVERLOAD_BYTES; used += OVERLOAD_BYTES)
        on_reply(client, index, connection->bytes + used, turn_ns);
    connection->count -= used;
    memmove(connection->bytes, connection->bytes + used, connection->count);
}

/* Takes what has come; never sleeps, as the other load generators. */
static uint64_t turn(struct client *client)
{
    struct epoll_event events[OVERLOAD_CONNECTIONS];
    int count = epoll_wait(client->epoll, events, OVERLOAD_CONNECTIONS, 0);
    uint64_t turn_ns = now_ns();

    for (int i = 0; i < count; i++)
        receive(client, events[i].data.u32, turn_ns);
    return turn_ns;
}

/* --- Phases ---------------------------------------------------------------------------------- */

static double next_gap_ns(struct client *client)
{
    double share = (double)(random_next(&client->random) >> 11) / (double)(UINT64_C(1) << 53);

    return -log(1 - share) * (double)NS_PER_S / client->load->rate;
}

static void run_load(struct client *client)
{
    uint64_t start_ns = now_ns(), turn_ns = start_ns;
    double due_ns = (double)start_ns;

    client->end_ns = start_ns + client->load->duration_ns;
    while (turn_ns < client->end_ns) {
        while (due_ns <= (double)turn_ns && client->figures->sent < client->due_count &&
               send_request(client, (uint64_t)due_ns))
            due_ns += next_gap_ns(client);
        turn_ns = turn(client);
    }
}

static void drain(struct client *client)
{
    struct overload_figures *figures = client->figures;
    uint64_t turn_ns = now_ns(), until_ns = turn_ns + client->load->drain_ns;

    while (figures->admitted + figures->refused < figures->sent && turn_ns < until_ns)
        turn_ns = turn(client);
    for (uint64_t number = 0; number < figures->sent; number++)
        if (client->due_ns[number] != 0) {
            figures->unanswered++;
            histogram_add(&figures->latency_ns, turn_ns - client->due_ns[number]);
        }
}

void overload_load_run(const struct overload_load *load, struct overload_figures *figures)
{
    double expected = load->rate * (double)load->duration_ns / (double)NS_PER_S;
    struct client client = {
        .load = load,
        .figures = figures,
        .random = UINT64_C(0x9E3779B97F4A7C15),
        .due_count = (uint64_t)(expected * 1.5) + 1000,
    };

    client.due_ns = get_memory(client.due_count, sizeof *client.due_ns);
    open_connections(&client);
    run_load(&client);
    drain(&client);
    for (unsigned index = 0; index < OVERLOAD_CONNECTIONS; index++)
        close(client.connections[index].fd);
    close(client.epoll);
    free(client.connections);
    free(client.due_ns);
}
