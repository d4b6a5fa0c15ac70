/* survey.h - statistics of the hub, for the metrics and for the report in the log. */

#ifndef SURVEY_H
#define SURVEY_H

#include "base/bytes.h"
#include "hub/frame.h"

struct hub;

struct survey {
    size_t rooms;
    uint64_t messages, bytes; /* in all rings, and the bytes of their frames */

    /* Since the start: messages that have entered a ring, without those that were restored, and the
     * streams that were in the message's room at that time, summed over these messages. So an event
     * for a thousand streams counts as a thousand deliveries even while they are being sent. */
    uint64_t published, delivered;

    unsigned blocked; /* streams that wait until their sockets take more */
};

/* Costs nothing: the hub keeps these numbers. */
struct survey survey_hub(const struct hub *hub);

/* Returns the most bytes of one room that a blocked stream has still to get; a stream is ended when
 * they exceed the room's history. Costs a look at each room and each blocked stream, if there are
 * blocked streams. */
uint64_t survey_lag(const struct hub *hub);

/* The most rooms that are looked at in detail: more than --max-rooms allows by default. Thousands
 * of lines would help no reader of a log, and fill its pipe. */
enum { SURVEY_ROOMS = 300 };

struct room_survey {
    struct span name;
    unsigned streams;        /* readers, including long polls */
    unsigned blocked;        /* those of them that wait until their sockets take more */
    uint64_t messages;       /* in the ring */
    uint64_t bytes;          /* what they weigh: what counts towards --history */
    const struct id *newest; /* NULL if the ring is empty */
    uint64_t lag;            /* the most bytes that a blocked reader has still to get */
};

/* Fills in the rooms with the most streams, and among equals with the most messages, in this order.
 * Returns how many; the pointers are valid until the next turn. Costs a look at each room, and at
 * each blocked reader. */
size_t survey_rooms(const struct hub *hub, struct room_survey rooms[SURVEY_ROOMS]);

/* Returns the memory that all rings have reserved, in bytes. Costs a look at each room. */
uint64_t survey_memory(const struct hub *hub);

#endif
