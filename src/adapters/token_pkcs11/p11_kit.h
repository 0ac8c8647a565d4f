/*
 * p11-kit, loaded when a token is first named.
 */
#ifndef SMQ_ADAPTERS_TOKEN_PKCS11_P11_KIT_H
#define SMQ_ADAPTERS_TOKEN_PKCS11_P11_KIT_H

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include <sealmq/err.h>

#define P11_KIT_EACH(X)                                                                                                \
	X(be_quiet)                                                                                                    \
	X(message)                                                                                                     \
	X(module_finalize)                                                                                             \
	X(module_get_name)                                                                                             \
	X(module_initialize)                                                                                           \
	X(module_load)                                                                                                 \
	X(module_release)                                                                                              \
	X(modules_finalize_and_release)                                                                                \
	X(modules_load_and_initialize)                                                                                 \
	X(strerror)                                                                                                    \
	X(uri_any_unrecognized)                                                                                        \
	X(uri_clear_attributes)                                                                                        \
	X(uri_format)                                                                                                  \
	X(uri_free)                                                                                                    \
	X(uri_get_attribute)                                                                                           \
	X(uri_get_module_name)                                                                                         \
	X(uri_get_module_path)                                                                                         \
	X(uri_get_pin_source)                                                                                          \
	X(uri_get_pin_value)                                                                                           \
	X(uri_get_slot_id)                                                                                             \
	X(uri_match_module_info)                                                                                       \
	X(uri_match_token_info)                                                                                        \
	X(uri_new)                                                                                                     \
	X(uri_parse)                                                                                                   \
	X(uri_set_attribute)                                                                                           \
	X(uri_set_module_path)

#define P11_KIT_MEMBER(name) __typeof__(p11_kit_##name) *name;
struct p11_kit {
	P11_KIT_EACH(P11_KIT_MEMBER)
};

/* Its functions, once smq_p11_kit_load() has been SMQ_OK. */
extern struct p11_kit smq_p11_kit;
SMQ_MUST_USE smq_err smq_p11_kit_load(void); /* SMQ_ERR_LIBRARY */

#endif
