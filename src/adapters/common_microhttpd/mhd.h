/*
 * libmicrohttpd, loaded when something is first served over HTTP: it brings GnuTLS and all that GnuTLS needs along.
 */
#ifndef SMQ_ADAPTERS_COMMON_MICROHTTPD_MHD_H
#define SMQ_ADAPTERS_COMMON_MICROHTTPD_MHD_H

#include <microhttpd.h>

#include <sealmq/err.h>

#define SMQ_MHD_EACH(X)                                                                                                \
	X(add_connection)                                                                                              \
	X(add_response_header)                                                                                         \
	X(basic_auth_get_username_password)                                                                            \
	X(create_response_from_buffer)                                                                                 \
	X(destroy_response)                                                                                            \
	X(free)                                                                                                        \
	X(get_connection_info)                                                                                         \
	X(get_daemon_info)                                                                                             \
	X(get_timeout)                                                                                                 \
	X(lookup_connection_value)                                                                                     \
	X(queue_response)                                                                                              \
	X(run)                                                                                                         \
	X(start_daemon)                                                                                                \
	X(stop_daemon)

#define SMQ_MHD_MEMBER(name) __typeof__(MHD_##name) *name;
struct smq_mhd {
	SMQ_MHD_EACH(SMQ_MHD_MEMBER)
};

/* Its functions, once smq_mhd_load() has been SMQ_OK. */
extern struct smq_mhd smq_mhd;
SMQ_MUST_USE smq_err smq_mhd_load(void); /* SMQ_ERR_LIBRARY */

#endif
