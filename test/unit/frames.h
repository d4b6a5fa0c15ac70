/* frames.h - a message's frame in one step, for drivers.
 *
 * The hub formats a message in two steps: the body at the POST, and the frame around it when the
 * message has its id. A driver that only wants the bytes gets both from here. */

#ifndef FRAMES_H
#define FRAMES_H

#include "hub/frame.h"

/* Appends the frame in its envelope, and checks that it keeps the bound that frame_size_max
 * promises. */
static inline void add_frame_of(
    struct buffer *out, const struct message *m, struct id id, uint64_t time_ms)
{
    struct buffer body = { 0 };
    size_t before = out->len;
    frame_body(&body, m);
    struct frame_content content = { m->kind, buffer_span(&body), m->key };
    struct stamp stamp;
    stamp_make(&stamp, id, time_ms);
    frame_message(out, &content, &stamp, true);
    must(out->len - before <= frame_size_max(&content));
    buffer_free(&body);
}

#endif
