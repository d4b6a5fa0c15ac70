/* frames.h - formats a message's frame in one step, for drivers.
 *
 * The hub formats a message in two steps: the body when the POST arrives, and the frame around it
 * once the message has an id. A driver that only needs the bytes calls add_frame_of for both. */

#ifndef FRAMES_H
#define FRAMES_H

#include "hub/frame.h"

/* Appends the frame in its envelope, and checks that its size is within frame_size_max. */
static inline void add_frame_of(
    struct buffer *out, const struct message *m, struct id id, uint64_t time_ms)
{
    struct buffer body = { 0 };
    size_t before = out->len;
    frame_body(&body, m);
    struct frame_content content = { m->kind, buffer_span(&body), m->key, m->author };
    struct stamp stamp = { 0 };
    stamp_make(&stamp, id, time_ms);
    frame_message(out, &content, &stamp, true);
    must(out->len - before <= frame_size_max(&content));
    buffer_free(&body);
}

#endif
