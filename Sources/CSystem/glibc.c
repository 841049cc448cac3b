#define _GNU_SOURCE
#include "CSystem.h"
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

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

void natter_keep_freed_memory(void) {
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

const char *natter_error_text(int number) { return strerrordesc_np(number); }

const void *natter_find(const void *bytes, size_t count, const void *part, size_t part_count) {
    return memmem(bytes, count, part, part_count);
}
