/* SPDX-License-Identifier: MIT */
/*
 * A server of static files: HTTP/1.1 with GET, HEAD, keep-alive, pipelining and single ranges.
 *
 *     weir-serve [--listen ADDRESS] [--loops N] [--connections N] FOLDER
 *
 * A connection is one task and one stream, whatever the peer sends: a head of at most 8 KiB, which
 * must come within ten seconds, and a body of which each piece must be taken within thirty. Who
 * breaks a rule is told which one. Links in the folder are followed: what is in it is public.
 */
#include <weir.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 8192, LINE_BYTES = 4096, PIECE_BYTES = 1 << 20, CONNECTIONS = 16384 };
enum { HEAD_S = 10, IDLE_S = 60, PIECE_S = 30, FAREWELL_S = 2, DRAIN_S = 10 };

struct server {
    const char *address;
    int folder;
    struct weir_listener_options options;
};

struct client {
    struct weir_stream *stream;
    int folder;
    bool only_head, keep;  /* HEAD; the connection goes on after this request */
    ssize_t head_left;     /* bytes that the head may still have */
    char line[LINE_BYTES]; /* the one just read */
    char path[LINE_BYTES];
    char range[64]; /* what follows "bytes="; "": none */
};

/* --- Answering. ------------------------------------------------------------------------------- */

static int put(struct client *client, const char *text, int length)
{
    ssize_t count =
        weir_stream_write(client->stream, text, (size_t)length, weir_in_seconds(PIECE_S));

    return count < 0 ? (int)count : 0;
}

/* `more` holds whole lines. */
static int put_head(struct client *client, const char *status, const char *type, off_t bytes,
                    const char *more)
{
    char text[512];

    return put(client, text,
               snprintf(text, sizeof text,
                        "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %lld\r\n%s%s\r\n",
                        status, type, (long long)bytes, more,
                        client->keep ? "" : "Connection: close\r\n"));
}

/* An answer whose body is its status. */
static int refuse(struct client *client, const char *status, const char *more)
{
    char text[64];
    int length = snprintf(text, sizeof text, "%s\n", status);
    int error = put_head(client, status, "text/plain", length, more);

    return error < 0 || client->only_head ? error : put(client, text, length);
}

static int put_file(struct client *client, int file, off_t offset, off_t end)
{
    ssize_t count;

    for (; offset < end; offset += count) {
        size_t bytes = end - offset < PIECE_BYTES ? (size_t)(end - offset) : PIECE_BYTES;

        count =
            weir_stream_send_file(client->stream, file, offset, bytes, weir_in_seconds(PIECE_S));
        if (count <= 0)
            return count < 0 ? (int)count : -EIO; /* it is shorter than was announced */
    }
    return 0;
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
    char more[128] = "Accept-Ranges: bytes\r\n";
    off_t first = 0, end = bytes;
    int range = *client->range ? parse_range(client->range, bytes, &first, &end) : 0;
    int error;

    if (range < 0) {
        snprintf(more, sizeof more, "Content-Range: bytes */%lld\r\n", (long long)bytes);
        return refuse(client, "416 Range Not Satisfiable", more);
    }
    if (range > 0) {
        status = "206 Partial Content";
        snprintf(more, sizeof more, "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)first,
                 (long long)end - 1, (long long)bytes);
    }
    error = put_head(client, status, type_of(client->path), end - first, more);
    return error < 0 || client->only_head ? error : put_file(client, file, first, end);
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

/* One line of a head, without its end. Its length; -EPIPE: the peer has ended; and others. */
static ssize_t read_line(struct client *client, int64_t deadline_ns)
{
    char *line = client->line;
    ssize_t count =
        weir_stream_read_until(client->stream, '\n', line, sizeof client->line - 1, deadline_ns);

    if (count <= 0 || line[count - 1] != '\n')
        return count < 0 ? count : -EPIPE;
    client->head_left -= count;
    if (client->head_left < 0)
        return -EMSGSIZE;
    count -= count > 1 && line[count - 2] == '\r' ? 2 : 1;
    line[count] = '\0';
    return memchr(line, '\0', (size_t)count) ? -EILSEQ : count;
}

/* Turns "/a%20b?c" into "a b"; false: it leads out of the folder, or is no path. */
static bool take_path(struct client *client, const char *target)
{
    char *to = client->path;
    unsigned byte;

    if (*target != '/')
        return false;
    for (; *target && *target != '?'; target++) {
        byte = (unsigned char)*target;
        if (byte == '%') {
            if (!isxdigit((unsigned char)target[1]) || !isxdigit((unsigned char)target[2]) ||
                sscanf(target + 1, "%2x", &byte) != 1 || !byte)
                return false;
            target += 2;
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    for (char *dots = client->path; (dots = strstr(dots, "/..")); dots += 3)
        if (dots[3] == '/' || dots[3] == '\0')
            return false;
    to = client->path + strspn(client->path, "/");
    memmove(client->path, *to ? to : ".", *to ? strlen(to) + 1 : 2);
    return true;
}

/* The status that refuses the first line, or any other; NULL: it is fine. */
static const char *take_first(struct client *client)
{
    char *target = strchr(client->line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;

    if (!version)
        return "400 Bad Request";
    *target++ = *version++ = '\0';
    if (strncmp(version, "HTTP/1.", 7) != 0)
        return "505 HTTP Version Not Supported";
    client->keep = strcmp(version, "HTTP/1.1") == 0;
    client->only_head = strcmp(client->line, "HEAD") == 0;
    if (!client->only_head && strcmp(client->line, "GET") != 0)
        return "405 Method Not Allowed";
    return take_path(client, target) ? NULL : "400 Bad Request";
}

static const char *take_field(struct client *client)
{
    char *value = strchr(client->line, ':');

    if (!value || value == client->line)
        return "400 Bad Request";
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(client->line, "Connection") == 0)
        client->keep = strcasecmp(value, "close") != 0 &&
                       (client->keep || strcasecmp(value, "keep-alive") == 0);
    else if (strcasecmp(client->line, "Range") == 0 && strncasecmp(value, "bytes=", 6) == 0)
        snprintf(client->range, sizeof client->range, "%s", value + 6);
    else if (strcasecmp(client->line, "Content-Length") == 0 && strcmp(value, "0") != 0)
        return "413 Content Too Large";
    else if (strcasecmp(client->line, "Transfer-Encoding") == 0)
        return "501 Not Implemented";
    return NULL;
}

/* Reads a head. The status that refuses it; NULL: it is fine; "": the peer has ended, or failed. */
static const char *read_request(struct client *client)
{
    const void *bytes;
    const char *status;
    ssize_t length;
    int64_t deadline_ns;

    client->head_left = HEAD_BYTES;
    client->keep = client->only_head = false;
    client->range[0] = '\0';
    if (weir_stream_peek(client->stream, &bytes, 1, weir_in_seconds(IDLE_S)) <= 0)
        return "";
    deadline_ns = weir_in_seconds(HEAD_S);
    length = read_line(client, deadline_ns);
    status = length >= 0 ? take_first(client) : NULL;
    while (!status && length >= 0 && (length = read_line(client, deadline_ns)) > 0)
        status = take_field(client);
    if (status || length == 0)
        return status;
    return length == -EMSGSIZE ? "431 Request Header Fields Too Large"
           : length == -ETIME  ? "408 Request Timeout"
           : length == -EILSEQ ? "400 Bad Request"
                               : "";
}

static int serve_client(int fd, void *context)
{
    const struct server *server = context;
    struct client client = { .folder = server->folder };
    const char *status;
    int error = weir_stream_open(&client.stream, fd, NULL);

    if (error < 0) {
        weir_close(fd);
        return error;
    }
    do {
        status = read_request(&client);
        if (status)
            client.keep = false; /* what follows may be anything */
        error = !status   ? answer(&client)
                : *status ? refuse(&client, status, "Allow: GET, HEAD\r\n")
                          : 0;
    } while (error >= 0 && client.keep);
    weir_stream_close(client.stream, weir_in_seconds(FAREWELL_S)); /* the peer reads all of it */
    return 0;
}

/* --- The server. ------------------------------------------------------------------------------ */

/* At SIGTERM or SIGINT: no more connections, and some time for those that are there. */
static int stop_at_signal(void *listener)
{
    struct weir_clause signals[] = { weir_clause_signal(SIGTERM), weir_clause_signal(SIGINT) };
    int which = weir_select(signals, 2, 0, WEIR_FOREVER);

    return which < 0 ? which : weir_listener_stop(listener, weir_in_seconds(DRAIN_S));
}

/* By a call that parks: standard error may be a pipe that is full. Who does not hear it misses no
 * more than that. */
static void say_where(struct weir_listener *listener)
{
    char address[128], text[160];
    int length;

    if (weir_listener_address(listener, 0, address, sizeof address) <= 0)
        return;
    length = snprintf(text, sizeof text, "weir-serve listens at %s\n", address);
    (void)!weir_write_all(STDERR_FILENO, text, (size_t)length, NULL, weir_in_seconds(1));
}

static int serve(void *arg)
{
    struct server *server = arg;
    struct weir_listener *listener;
    struct weir_scope *stopping;
    int error = weir_listener_open(&listener, server->address, &server->options);

    if (error < 0)
        return error;
    say_where(listener);
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
