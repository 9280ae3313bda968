/*
 * tests/fuzz/lz4_fuzz.c: the compressor of batches on any bytes. The LZ4 library decodes every
 * frame to what went in, nothing is read or written outside (ASan watches buffers of exactly the
 * promised sizes). Input: one byte that says how often the rest is repeated and how far apart bytes
 * change from one time to the next, then the text. Covers: writer/lz4_frame.c
 */
#include <stdlib.h>
#include <string.h>

#include "log/batch.h"
#include "writer/lz4_frame.h"

static size_t fill_text(uint8_t *text, const uint8_t *data, size_t size, uint8_t mode)
{
    size_t repeats = 1 + mode % 16, apart = (size_t)mode / 16 * 11, len = 0;
    for (size_t i = 0; i < repeats; i++) {
        size_t n = MIN(size, LZ4_FRAME_BLOCK_BYTES - len);
        memcpy(text + len, data, n);
        for (size_t at = i; apart != 0 && at < n; at += apart)
            text[len + at] = (uint8_t)(text[len + at] + i);
        len += n;
    }
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t text[LZ4_FRAME_BLOCK_BYTES];
    if (size < 2)
        return 0;
    size_t len = fill_text(text, data + 1, size - 1, data[0]);
    size_t room = LZ4_FRAME_BLOCK_ROOM(len);
    uint8_t *src = malloc(len);
    uint8_t *out = malloc(room);
    ASSERT(src != NULL && out != NULL);
    memcpy(src, text, len);
    size_t packed = lz4_frame_block(src, len, out);
    ASSERT(packed <= len + 4);

    struct buf frame = BUF_INIT, back = BUF_INIT;
    lz4_frame_begin((uint8_t *)buf_reserve(&frame, LZ4_FRAME_BEGIN_BYTES));
    frame.len = LZ4_FRAME_BEGIN_BYTES;
    buf_append(&frame, out, packed);
    lz4_frame_end((uint8_t *)buf_reserve(&frame, LZ4_FRAME_END_BYTES));
    frame.len += LZ4_FRAME_END_BYTES;
    ASSERT(batch_decompress(BATCH_CODEC_LZ4, frame.data, frame.len, len, &back) == OK);
    ASSERT(back.len == len && memcmp(back.data, text, len) == 0);
    buf_release(&frame);
    buf_release(&back);
    free(src);
    free(out);
    return 0;
}
