#define _GNU_SOURCE
#include "CSystem.h"
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const int natter_o_tmpfile = O_TMPFILE;

void natter_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

void natter_lower_priority(void) { setpriority(PRIO_PROCESS, (id_t)gettid(), 10); }

const char *natter_error_text(int number) { return strerrordesc_np(number); }
