// What Swift cannot express: a processor instruction, and what glibc hides behind _GNU_SOURCE.
#pragma once
#include "crc32c.h"
#include <stddef.h>

/// Open flags for a file without a name; see O_TMPFILE in open(2).
extern const int natter_o_tmpfile;

/// Opens a file in memory, which a program that this one starts gets only if it is told so; -1 with errno. See memfd_create(2).
int natter_memory_file(const char *name);

/// The number of words that this process was started with, its own name included.
int natter_argument_count(void);

/// One of these words; NULL behind the last.
const char *natter_argument(int index);

/// Gives the calling thread a name of at most 15 bytes, for `top -H` and core files.
void natter_name_thread(const char *name);

/// Starts a program with these words and variables, both ended by NULL, and with three descriptors as its standard ones. It has no
/// other descriptors and at most so many bytes of address space, and it ends when the calling thread does.
///
/// Returns its process; -1 with errno if it can't be started, for the reasons of execve(2), too.
int natter_start_limited(
    const char *path, char *const words[], char *const variables[], const int standard[3], size_t memory);

/// Lets the C library keep freed memory: up to 16 MiB for each thread, in pieces of less than 4 MiB. See mallopt(3).
void natter_keep_freed_memory(void);

/// The C library's English description of an error number in any locale; NULL for an unknown number.
const char *natter_error_text(int number);

/// Where the part is for the first time; NULL if it is nowhere. See memmem(3).
const void *natter_find(const void *bytes, size_t count, const void *part, size_t part_count);
