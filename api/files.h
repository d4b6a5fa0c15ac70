/* files.h - the chat page inside the binary, and the folder that may take its place. */

#ifndef FILES_H
#define FILES_H

#include "base/bytes.h"

#include <sys/stat.h>

/* One file of the page, in the binary. Both forms have an entity tag of their own. */
struct page_file {
    const char *type;
    struct span plain, gzip;
    char etag[24], gzip_etag[24];
};

/* The file at `path` ("/" is the index), or NULL. Who needs it `plain` looks whether it is: without
 * memory it is not. */
const struct page_file *files_find(struct span path, bool plain);

/* Opens the regular file at `path` (decoded, begins with '/') below the folder `root`. A path that
 * ends in '/' means the index.html there. Returns a descriptor and fills in `st`; FILES_NONE when
 * there is no such file: also for what lies outside, hidden files, and all that is no regular file;
 * FILES_SHORTAGE when nobody can tell now. */
enum { FILES_NONE = -1, FILES_SHORTAGE = -2 };
int files_open(int root, struct span path, struct stat *st);

/* The media type for a file name, by its ending. */
const char *files_type(struct span path);

/* The entity tag of an opened file, with its quotes: another one when it was changed. */
void files_etag(const struct stat *st, char *etag, size_t size);

#endif
