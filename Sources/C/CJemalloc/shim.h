// jemalloc 5.3.0 (Debian 12), which serves all of natterd's malloc and free in place of glibc's. Its own header would declare
// these a second time, so only what we call is here.
#pragma once
#include <stddef.h>

int mallctl(const char *name, void *old, size_t *old_length, void *new_value, size_t new_length);

/// As in "5.3.0-0-g54eaed1d8b56".
static inline const char *natter_jemalloc_version(void) {
    const char *version = "";
    size_t length = sizeof version;
    return mallctl("version", &version, &length, NULL, 0) == 0 ? version : "";
}
