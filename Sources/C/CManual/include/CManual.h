// The guides of the manual, as they are in the directory "man", inside the programs.
#pragma once
#include <stddef.h>

struct natter_guide {
    const char *name;
    const unsigned char *bytes;
    size_t count;
};

/// The guide with this index; NULL after the last one.
const struct natter_guide *natter_guide_at(size_t index);
