/*
 * kafka/produce_check.h (private): what is checked of a produced batch at the door. The records
 * inside are not read (docs/kafka.md, "What is checked").
 */
#ifndef KAFKA_PRODUCE_CHECK_H
#define KAFKA_PRODUCE_CHECK_H

#include "log/batch.h"

/**
 * Checks one partition's `records` of a Produce request of that version: exactly one batch of magic
 * 2, whole, not too large, CRC right, base offset 0, count = last offset delta + 1, a known codec
 * that the version allows, no attribute bit beyond codec. Returns the Kafka error code, 0 when
 * good: *ret_header is set then, else *ret_text is a sentence (static). Any thread.
 */
int16_t produce_check(struct slice records, int version, struct batch_header *ret_header,
                      const char **ret_text) MUST_USE;

#endif
