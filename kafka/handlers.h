/*
 * kafka/handlers.h (private): the handlers that kafka/api_table.c names; see struct kafka_api for
 * their contract.
 */
#ifndef KAFKA_HANDLERS_H
#define KAFKA_HANDLERS_H

#include "kafka/request.h"

/* kafka/discovery.c */
err_t api_versions_handle(struct kafka_request *rq, struct wire_reader *in) MUST_USE;
/** KIP-511: a version 0 reply with error 35 and the rows, so that the client can choose. */
void api_versions_unsupported(struct kafka_request *rq);
err_t find_coordinator_handle(struct kafka_request *rq, struct wire_reader *in) MUST_USE;
/* kafka/metadata.c */
err_t metadata_handle(struct kafka_request *rq, struct wire_reader *in) MUST_USE;
/* kafka/list_offsets.c */
err_t list_offsets_handle(struct kafka_request *rq, struct wire_reader *in) MUST_USE;
/* kafka/fetch.c */
err_t fetch_handle(struct kafka_request *rq, struct wire_reader *in) MUST_USE;
/* kafka/produce.c */
err_t produce_handle(struct kafka_request *rq, struct wire_reader *in) MUST_USE;

#endif
