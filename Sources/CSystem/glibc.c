#define _GNU_SOURCE
#include "CSystem.h"
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

const int natter_o_tmpfile = O_TMPFILE;

void natter_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

const char *natter_error_text(int number) { return strerrordesc_np(number); }

const void *natter_find(const void *bytes, size_t count, const void *part, size_t part_count) {
    return memmem(bytes, count, part, part_count);
}
