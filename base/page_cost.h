/* base/page_cost.h: whether filling the page cache is dear on this machine. Private to io_posix.c.
 *
 * A virtual machine often gets its memory from the host page by page: the first use of a page then
 * costs 2 to 3 CPU ns a byte, ten times what one in use takes, and as much again when the host has
 * taken it back. Only those who fill pages can tell; so writes behind the end of a file are timed.
 */
#ifndef BASE_PAGE_COST_H
#define BASE_PAGE_COST_H

#include "base/base.h"

#define PAGE_COST_WRITE_MIN KIB(16) /* smaller ones say more of system calls than of pages */

/** Whether a sample within the last minute said so; while it holds no more are needed. Any thread.
 */
bool page_cost_is_dear(int64_t now_ns);

/** Adds a write of `bytes` to the sample: it took `cpu_ns` of its thread and ended at `now_ns` of
 * the monotonic clock. Any thread. */
void page_cost_note(uint64_t bytes, uint64_t cpu_ns, int64_t now_ns);

#endif
