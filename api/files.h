/* files.h - the files of the chat page inside the binary, and those of a folder that replaces it.
 */

#ifndef FILES_H
#define FILES_H

#include "base/bytes.h"

#include <sys/stat.h>

/* One file of the page in the binary. The plain and the gzip form have different entity tags. */
struct page_file {
    const char *type;
    struct span plain, gzip;
    char etag[24], gzip_etag[24];
};

/* Returns the file at `path` ("/" is the index), or NULL if the page has none there. With `plain`
 * the plain form is unpacked first; when out of memory its `at` stays NULL. The file stays for
 * good. */
const struct page_file *files_find(struct span path, bool plain);

/* Opens the regular file at `path` (decoded, begins with '/') below the folder `root`. A path that
 * ends in '/' means the index.html there. Returns a descriptor, which the caller owns, and fills in
 * `st`. Returns FILES_NONE when there is no such file, which is also said of files outside the
 * folder, of hidden ones, and of all that are not regular files. Returns FILES_SHORTAGE when the
 * system cannot say at the moment: out of descriptors or memory. */
enum { FILES_NONE = -1, FILES_SHORTAGE = -2 };
int files_open(int root, struct span path, struct stat *st);

/* The media type of a file, by the ending of its name; never NULL. */
const char *files_type(struct span path);

/* Writes the entity tag of an opened file, with its quotes; it changes when the file does. */
void files_etag(const struct stat *st, char *etag, size_t size);

#endif
