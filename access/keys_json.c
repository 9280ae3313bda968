/*
 * NAMESPACE_API_KEYS: {"ns_acme_xxx":"acme",…}.
 */
#include <jansson.h>
#include <string.h>

#include "access/access.h"

err_t access_keys_from_json(const char *text, void (*fn)(void *arg, struct access_key key),
                            void *arg)
{
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return err_fail(ERR_INVALID_CONFIG,
                        "NAMESPACE_API_KEYS is no JSON object with distinct keys (byte %d)",
                        error.position);
    if (!json_is_object(root)) {
        json_decref(root);
        return err_fail(ERR_INVALID_CONFIG,
                        "NAMESPACE_API_KEYS must be a JSON object {\"ns_acme_xxx\":\"acme\"}");
    }
    const char *token;
    json_t *name;
    err_t err = OK;
    json_object_foreach(root, token, name)
    {
        if (!json_is_string(name)) {
            err = err_fail(ERR_INVALID_CONFIG,
                           "NAMESPACE_API_KEYS: every namespace must be a string");
            break;
        }
        fn(arg, (struct access_key){token, json_string_value(name)});
    }
    json_decref(root);
    return err;
}
