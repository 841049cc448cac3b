// zlib 1.2 (Debian 12).
#pragma once
#include <zlib.h>
