/*
 * libpq, loaded when a PostgreSQL database is first named: it brings LDAP, Kerberos and a second TLS library along,
 * and who stores in a file, or stores nothing, shall not carry them.
 */
#ifndef SMQ_ADAPTERS_RECORDS_POSTGRES_LIBPQ_H
#define SMQ_ADAPTERS_RECORDS_POSTGRES_LIBPQ_H

#include <postgresql/libpq-fe.h>

#include <sealmq/err.h>

#define LIBPQ_EACH(X)                                                                                                  \
	X(cancel)                                                                                                      \
	X(clear)                                                                                                       \
	X(cmdTuples)                                                                                                   \
	X(connectdbParams)                                                                                             \
	X(conninfo)                                                                                                    \
	X(conninfoFree)                                                                                                \
	X(errorMessage)                                                                                                \
	X(exec)                                                                                                        \
	X(execParams)                                                                                                  \
	X(finish)                                                                                                      \
	X(freeCancel)                                                                                                  \
	X(getCancel)                                                                                                   \
	X(getResult)                                                                                                   \
	X(getisnull)                                                                                                   \
	X(getlength)                                                                                                   \
	X(getvalue)                                                                                                    \
	X(ntuples)                                                                                                     \
	X(putCopyData)                                                                                                 \
	X(putCopyEnd)                                                                                                  \
	X(reset)                                                                                                       \
	X(resultErrorField)                                                                                            \
	X(resultStatus)                                                                                                \
	X(sendQueryParams)                                                                                             \
	X(setSingleRowMode)                                                                                            \
	X(status)

#define LIBPQ_MEMBER(name) __typeof__(PQ##name) *name;
struct libpq {
	LIBPQ_EACH(LIBPQ_MEMBER)
};

/* It stays loaded. SMQ_ERR_LIBRARY: it is not installed. */
SMQ_MUST_USE smq_err libpq_load(struct libpq *ret_libpq);

#endif
