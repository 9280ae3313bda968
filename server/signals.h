/*
 * server/signals.h: SIGTERM, SIGINT and SIGHUP wait in line for main; no other thread sees them.
 */
#ifndef SERVER_SIGNALS_H
#define SERVER_SIGNALS_H

/** Blocks them for this thread and all that it starts later, and ignores SIGPIPE. Main, first of
 * all.
 */
void signals_prepare(void);
/** Sleeps until one arrives; returns its number. From then on a further one, half a second later or
 * more, ends the process at once. */
int signals_wait(void);

#endif
