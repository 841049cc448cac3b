// LZ4 1.9.4 (Debian 12): block format, the HC compressor, dictionaries.
#pragma once
#include <lz4.h>
#include <lz4hc.h>
