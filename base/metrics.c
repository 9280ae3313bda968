#include "base/metrics.h"

_Atomic int64_t metric_values[METRIC_COUNT];

#define COUNTER "counter"
#define GAUGE "gauge"

static const struct {
    const char *name;
    const char *type;
    const char *help;
} metric_rows[METRIC_COUNT] = {
#define METRIC(name, type, help) {#name, type, help},
#include "base/metrics.def"
#undef METRIC
};

void metrics_write(struct buf *out)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        buf_printf(out, "# HELP spillway_%s %s\n# TYPE spillway_%s %s\nspillway_%s %lld\n",
                   metric_rows[i].name, metric_rows[i].help, metric_rows[i].name,
                   metric_rows[i].type, metric_rows[i].name, (long long)metric_get((enum metric)i));
    }
}
