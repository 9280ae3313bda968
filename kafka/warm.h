/*
 * kafka/warm.h (private): whether batches lie in the page cache, and reading in those that do not.
 * sendfile of cold data would block the reactor on the disk, and with it all of its connections.
 */
#ifndef KAFKA_WARM_H
#define KAFKA_WARM_H

#include "log/log.h"

/** False when some of it would have to be read from the disk; probes, so a hole between two probes
 * may be missed. True where the system cannot tell, and for a slice without descriptor. Any thread.
 */
bool slice_is_cached(const struct log_slice *s);
/** Reads the slice's pages in; an error shows later, where the bytes are sent. Worker thread. */
void slice_read_in(const struct log_slice *s);

#endif
