// What Swift cannot say itself: a processor's instruction, and calls that glibc hides behind _GNU_SOURCE.
#pragma once
#include "crc32c.h"

/// Gives the calling thread a name of at most 15 bytes, for `top -H` and core files.
void natter_name_thread(const char *name);

/// The C library's English words for an error number, whatever the locale; NULL for an unknown number.
const char *natter_error_text(int number);
