/*
 * store/path.h: names in a store. Private to store/.
 */
#ifndef STORE_PATH_H
#define STORE_PATH_H

#include "base/base.h"
#include "base/err.h"

/** ERR_USAGE unless `path` is relative, of components that are not empty, have no dot in front, no
 * control characters, and at most 255 bytes each, 1024 together. */
err_t store_path_check(const char *path) MUST_USE;
/** The directory of "file:/dir", "file:///dir" or a plain path, malloc'd. ERR_USAGE for other
 * schemes. */
err_t store_url_directory(const char *url, char **ret) MUST_USE;

#endif
