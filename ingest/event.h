/*
 * ingest/event.h: the rules of one event, and the record that it becomes. Private to ingest/.
 */
#ifndef INGEST_EVENT_H
#define INGEST_EVENT_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "writer/builder.h"

#define EVENT_TYPE_MAX 128

/** What events are measured against. Plain data, prepared once by event_rules_init. */
struct event_rules {
    struct json_names names; /* the fields that the rules look at */
    size_t event_bytes_max;  /* as sent */
};
void event_rules_init(struct event_rules *rules, size_t event_bytes_max);

/** Why an event was refused. */
struct event_fault {
    err_t code;        /* ERR_INVALID_EVENT or ERR_EVENT_TOO_LARGE */
    uint32_t index;    /* its place among the request's events, from 0 */
    const char *field; /* static; "" for the event as a whole */
    const char *text;  /* static: what is wrong */
};

/** Decoded texts of one event; reused for the next. */
struct event_scratch {
    struct buf bytes;
};

/**
 * Checks a scanned event (scan->fields in the order of rules->names) that came at now_ms. True:
 * *ret_record is set; its slices point into the scanned text and into `scratch`, until the next
 * call. False: code, field and text of *ret_fault are set.
 */
bool event_check(const struct event_rules *rules, const struct json_scan *scan, int64_t now_ms,
                 struct event_scratch *scratch, struct event_record *ret_record,
                 struct event_fault *ret_fault);

#endif
