/* Sign-ins over IMAP: THREADS threads with one blocking socket each connect, read the greeting, LOGIN, LOGOUT and read to the end,
 * again and again for SECONDS. One JSON object on standard output.
 *
 *   sign_in HOST PORT THREADS SECONDS USER-FORMAT PASSWORD
 *
 * USER-FORMAT has one %d for the number of the thread. A session counts as done when LOGIN and LOGOUT were answered with OK and
 * the server has closed the connection; anything else counts as failed. Each thread ends the session that it has begun, and has
 * one at least. A driver in Python would be the limit: its threads share one interpreter, and so take turns.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *user_format, *password;
static struct sockaddr_in address = {.sin_family = AF_INET};
static double end;

struct client {
    int number, failed;
    size_t done, room;
    double *seconds;
};

struct connection {
    int fd;
    size_t filled;
    char buffer[8192];
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Reads lines until one begins with `start`; 0 then, else -1: the peer is gone, or has sent a line that is too long. */
static int read_until(struct connection *c, const char *start) {
    for (;;) {
        char *line = c->buffer, *eol;
        while ((eol = memchr(line, '\n', c->filled - (size_t)(line - c->buffer)))) {
            int found = (size_t)(eol - line) >= strlen(start) && !memcmp(line, start, strlen(start));
            line = eol + 1;
            if (found) break;
        }
        int found = eol != NULL;
        c->filled -= (size_t)(line - c->buffer);
        memmove(c->buffer, line, c->filled);
        if (found) return 0;
        if (c->filled == sizeof c->buffer) return -1;
        ssize_t n = read(c->fd, c->buffer + c->filled, sizeof c->buffer - c->filled);
        if (n <= 0) return -1;
        c->filled += (size_t)n;
    }
}

static int command(struct connection *c, const char *line, int size, const char *answer) {
    return write(c->fd, line, (size_t)size) != size || read_until(c, answer) ? -1 : 0;
}

static int one_session(int number) {
    static const char logout[] = "B2 LOGOUT\r\n";
    char user[256], login[600], rest[256];
    struct connection c = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    int one = 1;
    snprintf(user, sizeof user, user_format, number);
    int size = snprintf(login, sizeof login, "B1 LOGIN \"%s\" \"%s\"\r\n", user, password);
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int done = !connect(c.fd, (struct sockaddr *)&address, sizeof address) && !read_until(&c, "* OK") &&
               !command(&c, login, size, "B1 OK") && !command(&c, logout, sizeof logout - 1, "B2 OK") &&
               read(c.fd, rest, sizeof rest) == 0;
    close(c.fd);
    return done ? 0 : -1;
}

static void *run_client(void *given) {
    struct client *client = given;
    do {
        double start = now();
        if (one_session(client->number)) {
            client->failed++;
            usleep(20000);
            continue;
        }
        if (client->done == client->room) {
            client->room = client->room * 2 + 1024;
            client->seconds = realloc(client->seconds, client->room * sizeof *client->seconds);
        }
        client->seconds[client->done++] = now() - start;
    } while (now() < end);
    return NULL;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: sign_in HOST PORT THREADS SECONDS USER-FORMAT PASSWORD\n");
        return 2;
    }
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    address.sin_port = htons((unsigned short)atoi(argv[2]));
    int threads = atoi(argv[3]), failed = 0;
    user_format = argv[5];
    password = argv[6];
    pthread_t *running = calloc((size_t)threads, sizeof *running);
    struct client *clients = calloc((size_t)threads, sizeof *clients);
    double start = now();
    end = start + atof(argv[4]);
    for (int i = 0; i < threads; i++) {
        clients[i].number = i;
        pthread_create(&running[i], NULL, run_client, &clients[i]);
    }
    size_t done = 0, filled = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(running[i], NULL);
        done += clients[i].done;
        failed += clients[i].failed;
    }
    double wall = now() - start;
    double *seconds = calloc(done + 1, sizeof *seconds);
    for (int i = 0; i < threads; i++) {
        if (clients[i].done) memcpy(seconds + filled, clients[i].seconds, clients[i].done * sizeof *seconds);
        filled += clients[i].done;
    }
    qsort(seconds, done, sizeof *seconds, by_value);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"done\": %zu, \"failed\": %d, \"wall_s\": %.4f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"driver_cpu_s\": %.3f}\n", done,
           failed, wall, done ? seconds[done / 2] * 1e3 : 0, done ? seconds[done * 99 / 100] * 1e3 : 0,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    return failed != 0;
}
