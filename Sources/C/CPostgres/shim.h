// libpq 15 (Debian 12), the client of PostgreSQL. Debian's static library lacks parts, so it is always a shared one.
#pragma once
#include <postgresql/libpq-fe.h>
