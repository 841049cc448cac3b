// SQLite 3.40.1 (Debian 12), public domain. Wraps variadic functions and casts of constants, which Swift cannot call.
#pragma once
#include <sqlite3.h>

// SQLITE_TRANSIENT is a cast of -1 to a function pointer.
static inline int natter_sqlite_bind_text_copy(sqlite3_stmt *statement, int index, const char *bytes, int count) {
    return sqlite3_bind_text(statement, index, bytes, count, SQLITE_TRANSIENT);
}

static inline int natter_sqlite_bind_blob_copy(sqlite3_stmt *statement, int index, const void *bytes, int count) {
    return sqlite3_bind_blob(statement, index, bytes, count, SQLITE_TRANSIENT);
}

static inline int natter_sqlite_no_checkpoint_on_close(sqlite3 *connection) {
    return sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}

// Call it before SQLite is first used; later it changes nothing. SQLite would count its memory with each allocation, under a
// lock that all connections share, and nothing asks for that. It would also prepare memory for small objects and twenty pages
// for each connection, and touch all of it: most commands use little of that and end.
static inline int natter_sqlite_save_memory(void) {
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    sqlite3_config(SQLITE_CONFIG_PAGECACHE, (void *)0, 0, 0);
    return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}
