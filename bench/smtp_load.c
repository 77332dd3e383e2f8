/* SMTP and LMTP load: SESSIONS threads with one blocking socket each send COUNT messages of OCTETS octets between them,
 * pipelined where the server offers it, and time the reply to the final dot. One JSON object on standard output.
 *
 *   smtp_load HOST PORT smtp|lmtp SESSIONS COUNT OCTETS|@FILE RECIPIENT-FORMAT USERS
 *
 * A message of so many octets is made here: text in base64. One of a file (CRLF, no line that begins with a dot) is sent as it is.
 * RECIPIENT-FORMAT has one %d for the user number, which runs from 0 to USERS-1. A message counts as sent when the dot was
 * answered with 250; anything else closes the session, counts as failed and goes on with a new one.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *host, *recipient_format;
static int port, is_lmtp, count, octets, users;
static atomic_int next_message, sent, failed;
static double *dot_seconds;
static char *fixed_message;

struct session {
    int fd, filled, pipelining;
    char buffer[8192];
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n <= 0) return -1;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Reads one whole reply, of however many lines, and returns its code; -1 when the peer is gone. */
static int read_reply(struct session *s) {
    for (;;) {
        char *start = s->buffer, *end = s->buffer + s->filled, *eol;
        while ((eol = memchr(start, '\n', (size_t)(end - start)))) {
            if (eol - start >= 10 && strstr(start, "PIPELINING") && strstr(start, "PIPELINING") < eol) s->pipelining = 1;
            if (eol - start >= 4 && start[3] == ' ') {
                int code = atoi(start);
                s->filled = (int)(end - eol - 1);
                memmove(s->buffer, eol + 1, (size_t)s->filled);
                return code;
            }
            start = eol + 1;
        }
        s->filled = (int)(end - start);
        memmove(s->buffer, start, (size_t)s->filled);
        if (s->filled == (int)sizeof s->buffer - 1) return -1;
        ssize_t n = read(s->fd, s->buffer + s->filled, sizeof s->buffer - 1 - (size_t)s->filled);
        if (n <= 0) return -1;
        s->filled += (int)n;
        s->buffer[s->filled] = 0;
    }
}

static int open_session(struct session *s) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int one = 1;
    const char *hello = is_lmtp ? "LHLO load.test\r\n" : "EHLO load.test\r\n";
    inet_pton(AF_INET, host, &address.sin_addr);
    memset(s, 0, sizeof *s);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s->fd, (struct sockaddr *)&address, sizeof address) || read_reply(s) != 220) return -1;
    return send_all(s->fd, hello, strlen(hello)) || read_reply(s) != 250 ? -1 : 0;
}

/* The octets of a file and the final dot; `octets` becomes their number. */
static char *read_message(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    octets = (int)ftell(file);
    rewind(file);
    char *message = malloc((size_t)octets + 8);
    if (fread(message, 1, (size_t)octets, file) != (size_t)octets) return NULL;
    fclose(file);
    memcpy(message + octets, ".\r\n", 3);
    octets += 3;
    return message;
}

static int make_message(char *out, int number, const char *recipient) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int n = sprintf(out,
                    "From: =?UTF-8?B?VHLhuqduIFRo4buLIExhbg==?= <sender@example.net>\r\nTo: <%s>\r\n"
                    "Subject: =?UTF-8?B?Q8O0bmcgdsSDbiBz4buR?= %d\r\nMessage-ID: <%d.%.6f@example.net>\r\n"
                    "Date: Tue, 24 Nov 2026 10:00:00 +0700\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
                    recipient, number, number, now());
    unsigned seed = (unsigned)number * 2654435761u + 12345u;
    while (n < octets - 4) {
        int line = octets - 4 - n < 76 ? ((octets - 4 - n) & ~3) : 76;
        if (line == 0) break;
        for (int i = 0; i < line; i++) {
            if (i % 5 == 0) seed = seed * 1664525u + 1013904223u;
            out[n++] = alphabet[(seed >> (i % 5 * 6)) & 63];
        }
        out[n++] = '\r';
        out[n++] = '\n';
    }
    memcpy(out + n, ".\r\n", 3);
    return n + 3;
}

static int send_message(struct session *s, int number, char *message) {
    char recipient[256], line[3][600];
    snprintf(recipient, sizeof recipient, recipient_format, number % users);
    snprintf(line[0], sizeof line[0], "MAIL FROM:<sender@example.net>\r\n");
    snprintf(line[1], sizeof line[1], "RCPT TO:<%s>\r\n", recipient);
    snprintf(line[2], sizeof line[2], "DATA\r\n");
    if (s->pipelining) {
        char batch[1800];
        int n = snprintf(batch, sizeof batch, "%s%s%s", line[0], line[1], line[2]);
        if (send_all(s->fd, batch, (size_t)n)) return -1;
    }
    for (int step = 0; step < 3; step++) {
        if (!s->pipelining && send_all(s->fd, line[step], strlen(line[step]))) return -1;
        if (read_reply(s) != (step == 2 ? 354 : 250)) return -1;
    }
    int size = fixed_message ? octets : make_message(message, number, recipient);
    if (send_all(s->fd, fixed_message ? fixed_message : message, (size_t)size)) return -1;
    double start = now();
    if (read_reply(s) != 250) return -1;
    dot_seconds[atomic_fetch_add(&sent, 1)] = now() - start;
    return 0;
}

static void *run_session(void *unused) {
    struct session *s = malloc(sizeof *s);
    char *message = malloc((size_t)octets + 8192);
    int number, open = 0;
    (void)unused;
    while ((number = atomic_fetch_add(&next_message, 1)) < count) {
        if (!open && open_session(s)) {
            close(s->fd);
            atomic_fetch_add(&failed, 1);
            usleep(20000);
            continue;
        }
        open = 1;
        if (send_message(s, number, message)) {
            atomic_fetch_add(&failed, 1);
            close(s->fd);
            open = 0;
        }
    }
    if (open) {
        send_all(s->fd, "QUIT\r\n", 6);
        read_reply(s);
        close(s->fd);
    }
    free(message);
    free(s);
    return NULL;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fprintf(stderr, "usage: smtp_load HOST PORT smtp|lmtp SESSIONS COUNT OCTETS|@FILE RECIPIENT-FORMAT USERS\n");
        return 2;
    }
    host = argv[1];
    port = atoi(argv[2]);
    is_lmtp = !strcmp(argv[3], "lmtp");
    int sessions = atoi(argv[4]);
    count = atoi(argv[5]);
    octets = atoi(argv[6]);
    if (argv[6][0] == '@' && !(fixed_message = read_message(argv[6] + 1))) return 2;
    recipient_format = argv[7];
    users = atoi(argv[8]);
    dot_seconds = calloc((size_t)count + 1, sizeof *dot_seconds);
    pthread_t *threads = calloc((size_t)sessions, sizeof *threads);
    double start = now();
    for (int i = 0; i < sessions; i++) pthread_create(&threads[i], NULL, run_session, NULL);
    for (int i = 0; i < sessions; i++) pthread_join(threads[i], NULL);
    double wall = now() - start;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(dot_seconds, (size_t)sent, sizeof *dot_seconds, by_value);
    printf("{\"sent\": %d, \"failed\": %d, \"wall_s\": %.4f, \"dot_p50_ms\": %.3f, \"dot_p99_ms\": %.3f, \"driver_cpu_s\": %.3f}\n",
           (int)sent, (int)failed, wall, sent ? dot_seconds[sent / 2] * 1e3 : 0, sent ? dot_seconds[sent * 99 / 100] * 1e3 : 0,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    return failed != 0;
}
