#define _GNU_SOURCE
#include "CSystem.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

const int natter_o_tmpfile = O_TMPFILE;

int natter_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

static int argument_count;
static char **arguments;

static void note_arguments(int count, char **words, char **environment) {
    (void)environment;
    argument_count = count;
    arguments = words;
}

// glibc calls the functions of .init_array with main's arguments, in static programs, too.
__attribute__((section(".init_array"), used)) static void (*note)(int, char **, char **) = note_arguments;

int natter_argument_count(void) { return argument_count; }

const char *natter_argument(int index) { return index >= 0 && index < argument_count ? arguments[index] : NULL; }

void natter_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

// Only functions that may be called between fork and execve in a process with several threads: see signal-safety(7).
static int become_limited(
    const char *path, char *const words[], char *const variables[], const int standard[3], size_t memory, int report) {
    for (int target = 0; target < 3; target++) {
        if (dup2(standard[target], target) < 0) return errno;
    }
    if (report != 3 && dup3(report, 3, O_CLOEXEC) < 0) return errno;
    close_range(4, ~0U, 0);
    const struct rlimit limit = {memory, memory};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return errno;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    execve(path, words, variables);
    return errno;
}

int natter_start_limited(
    const char *path, char *const words[], char *const variables[], const int standard[3], size_t memory) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) return -1;
    const pid_t parent = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(127);
        const int number = become_limited(path, words, variables, standard, memory, report[1]);
        _exit(write(fcntl(report[1], F_GETFD) < 0 ? 3 : report[1], &number, sizeof number) < 0 ? 126 : 127);
    }
    int number = child < 0 ? errno : 0;
    close(report[1]);
    while (child > 0 && read(report[0], &number, sizeof number) < 0 && errno == EINTR) {}
    close(report[0]);
    if (number == 0) return child;
    if (child > 0) waitpid(child, NULL, 0);
    errno = number;
    return -1;
}

void natter_keep_freed_memory(void) {
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

const char *natter_error_text(int number) { return strerrordesc_np(number); }

const void *natter_find(const void *bytes, size_t count, const void *part, size_t part_count) {
    return memmem(bytes, count, part, part_count);
}
