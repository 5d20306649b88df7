/* SPDX-License-Identifier: MIT */
/*
 * A server of static files: HTTP/1.1 with GET, HEAD, keep-alive, pipelining and single ranges.
 *
 *     weir-serve [--listen ADDRESS] [--loops N] [--connections N] FOLDER
 *
 * A connection is one task and its stack, whatever the peer sends: a head of at most 8 KiB, which
 * must come within ten seconds, and a body of which each piece must be taken within thirty. Who
 * breaks a rule is told which one. Links in the folder are followed: what is in it is public.
 */
#include <weir.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { HEAD_BYTES = 8192, PIECE_BYTES = 32768, STACK_BYTES = 128 * 1024, CONNECTIONS = 16384 };
enum { HEAD_S = 10, IDLE_S = 60, PIECE_S = 30, FAREWELL_S = 2, DRAIN_S = 10 };

struct server {
    const char *address;
    int folder;
    struct weir_listener_options options;
};

struct client {
    int fd, folder;
    bool only_head, keep;         /* HEAD; the connection goes on after this request */
    char *path, *range;           /* inside of `head`; a range is what follows "bytes=" */
    size_t got_bytes, head_bytes; /* all that came; of it, this request's head */
    char head[HEAD_BYTES + 1];
};

/* --- Answering. ------------------------------------------------------------------------------- */

static int put(struct client *client, const char *data, size_t bytes)
{
    return (int)weir_send_all(client->fd, data, bytes, 0, NULL, weir_in_seconds(PIECE_S));
}

/* Writes a head into `text`; `more` holds whole lines. Returns its length. */
static size_t write_head(const struct client *client, char text[512], const char *status,
                         const char *type, off_t bytes, const char *more)
{
    return (size_t)snprintf(text, 512,
                            "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %lld\r\n"
                            "%s%s\r\n",
                            status, type, (long long)bytes, more,
                            client->keep ? "" : "Connection: close\r\n");
}

/* An answer whose body is its status. */
static int refuse(struct client *client, const char *status, const char *more)
{
    char text[1024];
    size_t length = write_head(client, text, status, "text/plain", (off_t)strlen(status) + 1, more);

    if (!client->only_head)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s\n", status);
    return put(client, text, length);
}

/* A head, and the bytes [offset, end) of a file; the first of them go out together. */
static int put_file(struct client *client, int file, off_t offset, off_t end, const char *head,
                    size_t head_bytes)
{
    char piece[PIECE_BYTES];
    size_t filled_bytes = head_bytes;
    int error;

    memcpy(piece, head, head_bytes);
    do {
        off_t left_bytes = end - offset;
        size_t room_bytes = sizeof piece - filled_bytes;
        ssize_t count = 0;

        if (left_bytes > 0)
            count = weir_pread(file, piece + filled_bytes,
                               left_bytes < (off_t)room_bytes ? (size_t)left_bytes : room_bytes,
                               offset, weir_in_seconds(PIECE_S));
        if (count < 0 || (count == 0 && left_bytes > 0))
            return count < 0 ? (int)count : -EIO; /* it is shorter than was announced */
        error = put(client, piece, filled_bytes + (size_t)count);
        offset += count;
        filled_bytes = 0;
    } while (error >= 0 && offset < end);
    return error;
}

/* --- Files. ----------------------------------------------------------------------------------- */

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {
        { ".html", "text/html; charset=utf-8" },
        { ".txt", "text/plain; charset=utf-8" },
        { ".css", "text/css" },
        { ".js", "text/javascript" },
        { ".json", "application/json" },
        { ".svg", "image/svg+xml" },
        { ".png", "image/png" },
        { ".jpg", "image/jpeg" },
    };
    const char *end = strrchr(path, '.');

    for (size_t i = 0; end && i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(end, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

/* "A-B", "A-" or "-N" of a file of `bytes`: [*first, *end). 1; 0: not understood, to be ignored;
 * -1: nothing of it is there. */
static int parse_range(const char *text, off_t bytes, off_t *first, off_t *end)
{
    long long from = -1, to = -1;
    int length = 0;

    if (sscanf(text, "-%lld%n", &to, &length) == 1 && text[length] == '\0') {
        *first = to < bytes ? bytes - to : 0;
        *end = bytes;
        return to > 0 && bytes > 0 ? 1 : -1;
    }
    if (*text < '0' || *text > '9' || sscanf(text, "%lld-%n", &from, &length) != 1 || !length)
        return 0;
    text += length;
    if (*text && (sscanf(text, "%lld%n", &to, &length) != 1 || text[length] || to < from))
        return 0;
    *first = from;
    *end = *text && to < bytes - 1 ? to + 1 : bytes;
    return from < bytes ? 1 : -1;
}

static int answer_with(struct client *client, int file, off_t bytes)
{
    const char *status = "200 OK";
    char more[128] = "Accept-Ranges: bytes\r\n", head[512];
    off_t first = 0, end = bytes;
    int range = client->range ? parse_range(client->range, bytes, &first, &end) : 0;
    size_t length;

    if (range < 0) {
        snprintf(more, sizeof more, "Content-Range: bytes */%lld\r\n", (long long)bytes);
        return refuse(client, "416 Range Not Satisfiable", more);
    }
    if (range > 0) {
        status = "206 Partial Content";
        snprintf(more, sizeof more, "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)first,
                 (long long)end - 1, (long long)bytes);
    }
    length = write_head(client, head, status, type_of(client->path), end - first, more);
    return put_file(client, file, first, client->only_head ? first : end, head, length);
}

/* Opens what the path names; of a folder its index. Returns the descriptor, or -errno. */
static int open_file(const struct client *client, off_t *bytes)
{
    int64_t deadline_ns = weir_in_seconds(PIECE_S);
    int file = weir_openat(client->folder, client->path, O_RDONLY | O_NONBLOCK, 0, deadline_ns);
    struct statx facts = { 0 };
    int error = file, index;

    if (file >= 0)
        error = weir_statx(file, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &facts, deadline_ns);
    if (error >= 0 && S_ISDIR(facts.stx_mode)) {
        index = weir_openat(file, "index.html", O_RDONLY | O_NONBLOCK, 0, deadline_ns);
        weir_close(file);
        error = file = index;
        if (file >= 0)
            error = weir_statx(file, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &facts, deadline_ns);
    }
    *bytes = (off_t)facts.stx_size;
    if (error >= 0 && S_ISREG(facts.stx_mode))
        return file;
    if (file >= 0)
        weir_close(file);
    return error < 0 ? error : -ENOENT;
}

static int answer(struct client *client)
{
    off_t bytes;
    int file = open_file(client, &bytes);
    int error;

    if (file >= 0) {
        error = answer_with(client, file, bytes);
        weir_close(file);
        return error;
    }
    if (file == -EACCES)
        return refuse(client, "403 Forbidden", "");
    if (weir_is_transient(file) || file == -ETIME || file == -EBUSY)
        return refuse(client, "503 Service Unavailable", "Retry-After: 1\r\n");
    return refuse(client, "404 Not Found", "");
}

/* --- Asking. ---------------------------------------------------------------------------------- */

/* Receives until a whole head is there. 1; 0: the peer has ended; -ETIME, -EMSGSIZE and others. */
static int read_head(struct client *client)
{
    int64_t deadline_ns = weir_in_seconds(client->got_bytes ? HEAD_S : IDLE_S);
    char *end;

    while (!(end = memmem(client->head, client->got_bytes, "\r\n\r\n", 4))) {
        ssize_t count = -EMSGSIZE;

        if (client->got_bytes < HEAD_BYTES)
            count = weir_recv(client->fd, client->head + client->got_bytes,
                              HEAD_BYTES - client->got_bytes, 0, deadline_ns);
        if (count <= 0)
            return (int)count;
        if (!client->got_bytes)
            deadline_ns = weir_in_seconds(HEAD_S);
        client->got_bytes += (size_t)count;
    }
    *end = '\0';
    client->head_bytes = (size_t)(end - client->head) + 4;
    return 1;
}

/* Turns "/a%20b?c" into "a b", in place; NULL: it leads out of the folder, or is none. */
static char *path_of(char *target)
{
    char *to = target;
    unsigned byte;

    if (*target != '/')
        return NULL;
    for (char *from = target; *from && *from != '?'; *to++ = *from++)
        if (*from == '%') {
            if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2]) ||
                sscanf(from + 1, "%2x", &byte) != 1 || !byte)
                return NULL;
            from += 2;
            *from = (char)byte;
        }
    *to = '\0';
    for (char *dots = target; (dots = strstr(dots, "/..")); dots += 3)
        if (dots[3] == '/' || dots[3] == '\0')
            return NULL;
    target += strspn(target, "/");
    return *target ? target : ".";
}

/* What one line of the head asks for. The status that refuses it; NULL: it is fine. */
static const char *take_field(struct client *client, char *line)
{
    char *value = strchr(line, ':');

    if (!value || value == line)
        return "400 Bad Request";
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(line, "Connection") == 0)
        client->keep = strcasecmp(value, "close") != 0 &&
                       (client->keep || strcasecmp(value, "keep-alive") == 0);
    else if (strcasecmp(line, "Range") == 0 && strncasecmp(value, "bytes=", 6) == 0)
        client->range = value + 6;
    else if (strcasecmp(line, "Content-Length") == 0 && strcmp(value, "0") != 0)
        return "413 Content Too Large";
    else if (strcasecmp(line, "Transfer-Encoding") == 0)
        return "501 Not Implemented";
    return NULL;
}

/* What the head asks for. The status that refuses it; NULL: it is fine. */
static const char *parse(struct client *client)
{
    const char *status = NULL;
    bool has_nul = memchr(client->head, '\0', client->head_bytes - 4);
    char *rest, *line = strtok_r(client->head, "\r\n", &rest);
    char *target = line ? strchr(line, ' ') : NULL;
    char *version = target ? strchr(target + 1, ' ') : NULL;

    client->keep = client->only_head = false;
    client->range = NULL;
    if (!version || has_nul)
        return "400 Bad Request";
    *target++ = *version++ = '\0';
    if (strncmp(version, "HTTP/1.", 7) != 0)
        return "505 HTTP Version Not Supported";
    client->keep = strcmp(version, "HTTP/1.1") == 0;
    client->only_head = strcmp(line, "HEAD") == 0;
    if (!client->only_head && strcmp(line, "GET") != 0)
        return "405 Method Not Allowed";
    client->path = path_of(target);
    if (!client->path)
        return "400 Bad Request";
    while (!status && (line = strtok_r(NULL, "\r\n", &rest)))
        status = take_field(client, line);
    return status;
}

/* One request and its answer. Returns whether the connection goes on. */
static bool serve_request(struct client *client)
{
    int result = read_head(client);
    const char *status = result == -EMSGSIZE ? "431 Request Header Fields Too Large"
                         : result == -ETIME && client->got_bytes ? "408 Request Timeout"
                                                                 : NULL;

    if (result > 0)
        status = parse(client);
    if (status) { /* what follows it may be anything */
        client->keep = false;
        refuse(client, status, "Allow: GET, HEAD\r\n");
        return false;
    }
    if (result <= 0 || answer(client) < 0)
        return false;
    client->got_bytes -= client->head_bytes;
    memmove(client->head, client->head + client->head_bytes, client->got_bytes);
    return client->keep;
}

/* Lets the peer read the answer: a close with bytes unread would reset it away. */
static void bid_farewell(int fd)
{
    int64_t deadline_ns = weir_in_seconds(FAREWELL_S);
    char bytes[4096];

    if (weir_shutdown(fd, SHUT_WR) >= 0)
        while (weir_recv(fd, bytes, sizeof bytes, 0, deadline_ns) > 0)
            continue;
}

static int serve_client(int fd, void *context)
{
    const struct server *server = context;
    struct client client = { .fd = fd, .folder = server->folder };

    while (serve_request(&client))
        continue;
    bid_farewell(fd);
    return weir_close(fd);
}

/* --- The server. ------------------------------------------------------------------------------ */

/* At SIGTERM or SIGINT: no more connections, and some time for those that are there. */
static int stop_at_signal(void *listener)
{
    struct weir_clause signals[] = { weir_clause_signal(SIGTERM), weir_clause_signal(SIGINT) };
    int which = weir_select(signals, 2, 0, WEIR_FOREVER);

    return which < 0 ? which : weir_listener_stop(listener, weir_in_seconds(DRAIN_S));
}

static int serve(void *arg)
{
    struct server *server = arg;
    struct weir_listener *listener;
    struct weir_scope *stopping;
    char address[128];
    int error = weir_listener_open(&listener, server->address, &server->options);

    if (error < 0)
        return error;
    if (weir_listener_address(listener, 0, address, sizeof address) > 0)
        fprintf(stderr, "weir-serve listens at %s\n", address);
    error = weir_scope_create(&stopping, WEIR_SCOPE_COLLECT, NULL);
    if (error >= 0) {
        error = weir_spawn(stopping, stop_at_signal, listener, NULL);
        if (error >= 0)
            error = weir_listener_serve(listener, serve_client, server);
        weir_scope_cancel(stopping);
        weir_scope_join(stopping, WEIR_FOREVER);
    }
    weir_listener_close(listener);
    return error;
}

static int usage(void)
{
    fprintf(stderr, "usage: weir-serve [--listen ADDRESS] [--loops N] [--connections N] FOLDER\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        { "listen", required_argument, NULL, 'a' },
        { "loops", required_argument, NULL, 'l' },
        { "connections", required_argument, NULL, 'c' },
        { 0 },
    };
    struct weir_options options = { .loop_count = 1 };
    struct server server = {
        .address = "127.0.0.1:8080",
        .options = { .spread = WEIR_LISTENER_PER_LOOP,
                     .connections_max = CONNECTIONS,
                     .stack_bytes = STACK_BYTES,
                     .unlink_stale = true },
    };
    sigset_t signals;
    int option, error;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == '?' || (option != 'a' && atoi(optarg) <= 0))
            return usage();
        if (option == 'a')
            server.address = optarg;
        else if (option == 'l')
            options.loop_count = (unsigned)atoi(optarg);
        else
            server.options.connections_max = (size_t)atoi(optarg);
    }
    if (argc - optind != 1)
        return usage();
    server.folder = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (server.folder < 0) {
        fprintf(stderr, "weir-serve: %s: %s\n", argv[optind], strerror(errno));
        return 1;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    weir_signals_block(&signals); /* in all threads: they are the runtime's to wait for */
    error = weir_run(serve, &server, &options);
    fprintf(stderr, "weir-serve: %s: %s\n", server.address, weir_error_name(error));
    return error < 0;
}
