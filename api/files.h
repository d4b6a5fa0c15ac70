/* files.h - the files of the chat page in the binary, and of a folder that replaces it. */

#ifndef FILES_H
#define FILES_H

#include "base/bytes.h"

#include <sys/stat.h>

/* One file of the page in the binary. The plain and the gzip form have different entity tags. */
struct page_file {
    struct span path; /* "/index.html" */
    struct span plain, gzip;
    char etag[24], gzip_etag[24];
};

/* Call this once, before files_find. Returns false if out of memory. */
bool files_start(void);

/* Returns the page's file at `path` ("/" is the index), or NULL if there is none. If `plain` is
 * set, unpacks the plain form first; its `at` stays NULL if out of memory. The result stays valid
 * until the process ends. */
const struct page_file *files_find(struct span path, bool plain);

/* Opens the regular file at `path` (decoded, begins with '/') below the folder `root`. A path that
 * ends in '/' means the index.html in that folder. Returns a descriptor, which the caller owns, and
 * fills in `st`. Returns FILES_NONE if there is no such file, or if it is outside the folder,
 * hidden, or not a regular file. Returns FILES_SHORTAGE if the system cannot tell at the moment,
 * for example because it is out of descriptors or memory. */
enum { FILES_NONE = -1, FILES_SHORTAGE = -2 };
int files_open(int root, struct span path, struct stat *st);

/* Returns the media type for the extension of a file name; never NULL. */
const char *files_type(struct span path);

/* Writes the entity tag of an open file, with its quotes; the tag changes when the file does. */
void files_etag(const struct stat *st, char *etag, size_t size);

#endif
