// SQLite 3.40.1 (Debian 12), public domain.
#pragma once
#include <sqlite3.h>
