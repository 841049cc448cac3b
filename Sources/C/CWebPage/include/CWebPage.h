// The files of the web page, as they are in the directory "page", inside the program.
#pragma once
#include <stddef.h>

struct natter_page_file {
    const char *name;
    /// The media type that it is served with.
    const char *type;
    const unsigned char *bytes;
    size_t count;
};

/// The file with this index; NULL after the last one.
const struct natter_page_file *natter_page_file_at(size_t index);
