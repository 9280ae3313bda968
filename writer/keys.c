#include "writer/keys.h"

void request_key_write(struct buf *out, const char *kind, struct slice namespace_name,
                       struct slice text)
{
    buf_append_str(out, kind);
    buf_append_char(out, ':');
    buf_append_slice(out, namespace_name);
    buf_append_char(out, ':');
    buf_append_slice(out, text);
}
