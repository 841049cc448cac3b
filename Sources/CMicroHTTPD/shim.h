// GNU libmicrohttpd 0.9.75 (Debian 12).
#pragma once
#include <sys/types.h>
#include <sys/socket.h>
#include <microhttpd.h>
