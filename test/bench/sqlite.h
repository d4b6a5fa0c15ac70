/* sqlite.h - inserts into a SQLite database, for the comparison in journal.c.
 *
 * The library is loaded when it is needed, so that the benchmark can be compiled, and run without
 * SQLite's row, on a machine that lacks it. The database has a write-ahead log (WAL) that is synced
 * at each commit (synchronous=FULL): a committed insert survives a power cut, like a message in
 * ssechat's journal. */

#ifndef SQLITE_H
#define SQLITE_H

#include "../tools/tool.h"

#include <dlfcn.h>

/* The functions of libsqlite3 that are used here, and an open database. */
struct sqlite {
    int (*open)(const char *path, void **database);
    int (*close)(void *database);
    int (*exec)(void *database, const char *sql, int (*row)(void *, int, char **, char **),
        void *context, char **error);
    int (*prepare)(void *database, const char *sql, int len, void **statement, const char **rest);
    int (*bind_blob)(void *statement, int number, const void *at, int len, void (*release)(void *));
    int (*step)(void *statement);
    int (*reset)(void *statement);
    int (*finalize)(void *statement);
    const char *(*errmsg)(void *database);
    void *database, *insert;
};

enum { SQLITE_OK_CODE = 0, SQLITE_DONE_CODE = 101 }; /* SQLITE_OK and SQLITE_DONE */

/* Sets a pointer to a function of the library. ISO C has no conversion from an object's pointer to
 * a function's, so `function` points to the pointer. */
static inline void sqlite_find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL)
        fail("libsqlite3 has no %s", name);
    memcpy(function, &symbol, sizeof symbol);
}

/* Loads the library. Returns false if it is not installed. */
static inline bool sqlite_load(struct sqlite *s)
{
    void *library = dlopen("libsqlite3.so.0", RTLD_NOW);
    if (library == NULL)
        return false;
    sqlite_find(library, "sqlite3_open", &s->open);
    sqlite_find(library, "sqlite3_close", &s->close);
    sqlite_find(library, "sqlite3_exec", &s->exec);
    sqlite_find(library, "sqlite3_prepare_v2", &s->prepare);
    sqlite_find(library, "sqlite3_bind_blob", &s->bind_blob);
    sqlite_find(library, "sqlite3_step", &s->step);
    sqlite_find(library, "sqlite3_reset", &s->reset);
    sqlite_find(library, "sqlite3_finalize", &s->finalize);
    sqlite_find(library, "sqlite3_errmsg", &s->errmsg);
    return true;
}

/* Ends the benchmark if a call has not returned the expected code. */
static inline void sqlite_expect(struct sqlite *s, int code, int expected)
{
    if (code != expected)
        fail("SQLite: %s", s->errmsg(s->database));
}

/* Runs SQL statements that return no rows. */
static inline void sqlite_run(struct sqlite *s, const char *sql)
{
    sqlite_expect(s, s->exec(s->database, sql, NULL, NULL, NULL), SQLITE_OK_CODE);
}

/* Creates a database with an empty table, whose inserts all have this content. */
static inline void sqlite_create(struct sqlite *s, const char *path, const void *content, int len)
{
    sqlite_expect(s, s->open(path, &s->database), SQLITE_OK_CODE);
    sqlite_run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
    sqlite_run(s, "CREATE TABLE messages (id INTEGER PRIMARY KEY, content BLOB)");
    const char *sql = "INSERT INTO messages (content) VALUES (?)";
    sqlite_expect(s, s->prepare(s->database, sql, -1, &s->insert, NULL), SQLITE_OK_CODE);
    sqlite_expect(s, s->bind_blob(s->insert, 1, content, len, NULL), SQLITE_OK_CODE);
}

/* Makes one transaction of this many inserts. */
static inline void sqlite_insert(struct sqlite *s, unsigned count)
{
    if (count > 1)
        sqlite_run(s, "BEGIN");
    for (unsigned i = 0; i < count; i++) {
        sqlite_expect(s, s->step(s->insert), SQLITE_DONE_CODE);
        s->reset(s->insert);
    }
    if (count > 1)
        sqlite_run(s, "COMMIT");
}

/* Closes the database. */
static inline void sqlite_end(struct sqlite *s)
{
    s->finalize(s->insert);
    sqlite_expect(s, s->close(s->database), SQLITE_OK_CODE);
}

#endif
