// PCRE2 10.42 (Debian 12): regular expressions over UTF-8.
#pragma once
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
