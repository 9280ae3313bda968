/*
 * base/suggest.c: Levenshtein distance, one row at a time.
 */
#include "base/suggest.h"

#include <limits.h>
#include <string.h>

#define WORD_MAX 63

unsigned suggest_distance(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    if (a_len > WORD_MAX || b_len > WORD_MAX)
        return UINT_MAX;
    unsigned row[WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = MIN(replaced, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_len];
}

bool suggest_is_near(const char *word, const char *candidate)
{
    unsigned longest = (unsigned)MAX(strlen(word), strlen(candidate));
    return suggest_distance(word, candidate) <= MAX(1u, longest / 3);
}
