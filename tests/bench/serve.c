/*
 * The baseline for downloads: libmicrohttpd answering every GET with one file, and nothing around it.
 *
 *      bench-serve FILE [THREADS]      prints its port, ends with SIGTERM
 *
 * The answer is made once and lent to each request; threads and polling as cad's for plain HTTP.
 */
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **state) {
        static int seen;

        (void) url;
        (void) method;
        (void) version;
        (void) body;
        (void) body_size;
        if (!*state) { /* the head is here; the answer is for the end of the request */
                *state = &seen;
                return MHD_YES;
        }
        return MHD_queue_response(connection, MHD_HTTP_OK, cls);
}

static struct MHD_Response *response_of(const char *path) {
        struct MHD_Response *response;
        FILE *file = fopen(path, "re");
        struct stat st;
        char *body;

        if (!file || fstat(fileno(file), &st) < 0)
                return NULL;
        body = malloc((size_t) st.st_size + 1);
        if (!body || fread(body, 1, (size_t) st.st_size, file) != (size_t) st.st_size)
                return NULL;
        (void) fclose(file);
        response = MHD_create_response_from_buffer((size_t) st.st_size, body,
                                                   MHD_RESPMEM_MUST_FREE);
        if (response)
                (void) MHD_add_response_header(response, "Content-Type", "application/pkix-crl");
        return response;
}

int main(int argc, char **argv) {
        unsigned threads = argc > 2 ? (unsigned) strtoul(argv[2], NULL, 10) : 2;
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct MHD_Response *response = argc > 1 ? response_of(argv[1]) : NULL;
        const struct MHD_OptionItem pool[] = {
                { threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads, NULL },
                { MHD_OPTION_END, 0, NULL }
        };
        const union MHD_DaemonInfo *info;
        struct MHD_Daemon *mhd;
        int signal_number;
        sigset_t ends;

        if (!response) {
                (void) fprintf(stderr, "usage: bench-serve FILE [THREADS]\n");
                return 2;
        }
        (void) sigemptyset(&ends);
        (void) sigaddset(&ends, SIGTERM);
        (void) pthread_sigmask(SIG_BLOCK, &ends, NULL);
        mhd = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, /* port= */ 0, NULL, NULL, on_request,
                               response, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_ARRAY, pool,
                               MHD_OPTION_END);
        info = mhd ? MHD_get_daemon_info(mhd, MHD_DAEMON_INFO_BIND_PORT) : NULL;
        if (!info) {
                (void) fprintf(stderr, "bench-serve: libmicrohttpd does not start\n");
                return 2;
        }
        (void) printf("%u\n", (unsigned) info->port);
        (void) fflush(stdout);
        (void) sigwait(&ends, &signal_number);
        MHD_stop_daemon(mhd);
        MHD_destroy_response(response);
        return 0;
}
