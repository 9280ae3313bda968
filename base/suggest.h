/*
 * base/suggest.h: what a mistyped word was probably meant to be.
 */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include "base/base.h"

/** Edits (insert, drop, replace a character) that turn one word into the other; words of more than
 *  63 bytes count as far apart (UINT_MAX). Any thread. */
unsigned suggest_distance(const char *a, const char *b);
/** Whether `candidate` is near enough to `word` to be offered, at most a third of it away. */
bool suggest_is_near(const char *word, const char *candidate);

#endif
