/*
 * Process: see process.h. It only reads, and what cannot be read is left out.
 */
#include "daemon/rest/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/file.h"

#define STAT_MAX 1024 /* bytes of /proc/self/stat */

static double seconds_of(const struct timeval *tv) {
        return (double) tv->tv_sec + (double) tv->tv_usec / 1e6;
}

/* When it was started is told in ticks since boot. */
static int64_t start_time(uint64_t ticks) {
        struct timespec boot, now;
        long per_second = sysconf(_SC_CLK_TCK);

        if (per_second <= 0 || clock_gettime(CLOCK_BOOTTIME, &boot) < 0 ||
            clock_gettime(CLOCK_REALTIME, &now) < 0)
                return -1;
        return (int64_t) now.tv_sec -
                ((int64_t) boot.tv_sec - (int64_t) (ticks / (uint64_t) per_second));
}

/* proc(5): fields 22 (starttime), 23 (vsize, bytes) and 24 (rss, pages); the name in field 2 may hold anything, but no ')' follows it. */
static void read_stat(struct process_use *use) {
        CAD_AUTO(fd_close) int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        char text[STAT_MAX];
        uint64_t ticks, vsize;
        int64_t pages;
        ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        const char *at;

        if (size <= 0)
                return;
        text[size] = '\0';
        at = strrchr(text, ')');
        for (int field = 2; at && field < 22; field++) {
                at = strchr(at, ' ');
                at = at ? at + 1 : NULL;
        }
        if (!at || sscanf(at, "%" SCNu64 " %" SCNu64 " %" SCNd64, &ticks, &vsize, &pages) != 3)
                return;
        use->start_time = start_time(ticks);
        use->virtual_bytes = (int64_t) vsize;
        use->resident_bytes = pages * sysconf(_SC_PAGESIZE);
}

static int64_t count_descriptors(void) {
        DIR *folder = opendir("/proc/self/fd");
        const struct dirent *entry;
        int64_t count = -1; /* the folder's own is no use of ours */

        if (!folder)
                return -1;
        while ((entry = readdir(folder)))
                count += entry->d_name[0] != '.';
        (void) closedir(folder);
        return count;
}

void process_use_read(struct process_use *ret) {
        struct process_use use = { .cpu_s = -1,
                                   .start_time = -1,
                                   .resident_bytes = -1,
                                   .virtual_bytes = -1,
                                   .descriptors = count_descriptors(),
                                   .descriptors_max = -1 };
        struct rusage usage;
        struct rlimit limit;

        if (getrusage(RUSAGE_SELF, &usage) == 0)
                use.cpu_s = seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
                use.descriptors_max = (int64_t) limit.rlim_cur;
        read_stat(&use);
        *ret = use;
}
