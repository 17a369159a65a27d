// The system's SQLite, for the journal.
#ifndef CSQLITE_H
#define CSQLITE_H
#include <sqlite3.h>

// sqlite3_db_config is variadic, which Swift does not import.
static inline int CSQLite_set(sqlite3 *db, int option, int value) { return sqlite3_db_config(db, option, value, (int *)0); }

// SQLITE_TRANSIENT is a function pointer cast from an integer: the value is copied before the call returns.
static inline int CSQLite_bind_text(sqlite3_stmt *s, int i, const char *bytes, int count) {
  return sqlite3_bind_text(s, i, bytes, count, SQLITE_TRANSIENT);
}
static inline int CSQLite_bind_blob(sqlite3_stmt *s, int i, const void *bytes, int count) {
  // A null pointer would mean NULL; an empty blob is something else.
  return count == 0 ? sqlite3_bind_zeroblob(s, i, 0) : sqlite3_bind_blob(s, i, bytes, count, SQLITE_TRANSIENT);
}

#endif
