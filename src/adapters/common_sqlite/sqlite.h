/*
 * SQLite, loaded when a database is first opened: who keeps none shall not carry it.
 */
#ifndef SMQ_ADAPTERS_COMMON_SQLITE_SQLITE_H
#define SMQ_ADAPTERS_COMMON_SQLITE_SQLITE_H

#include <sqlite3.h>

#include <sealmq/err.h>

#define SMQ_SQLITE_EACH(X)                                                                                             \
	X(backup_finish)                                                                                               \
	X(backup_init)                                                                                                 \
	X(backup_step)                                                                                                 \
	X(bind_blob)                                                                                                   \
	X(bind_blob64)                                                                                                 \
	X(bind_double)                                                                                                 \
	X(bind_int)                                                                                                    \
	X(bind_int64)                                                                                                  \
	X(bind_parameter_index)                                                                                        \
	X(bind_text)                                                                                                   \
	X(bind_text64)                                                                                                 \
	X(busy_timeout)                                                                                                \
	X(changes)                                                                                                     \
	X(clear_bindings)                                                                                              \
	X(close)                                                                                                       \
	X(column_blob)                                                                                                 \
	X(column_bytes)                                                                                                \
	X(column_double)                                                                                               \
	X(column_int)                                                                                                  \
	X(column_int64)                                                                                                \
	X(column_text)                                                                                                 \
	X(column_type)                                                                                                 \
	X(errcode)                                                                                                     \
	X(errmsg)                                                                                                      \
	X(errstr)                                                                                                      \
	X(exec)                                                                                                        \
	X(finalize)                                                                                                    \
	X(get_autocommit)                                                                                              \
	X(last_insert_rowid)                                                                                           \
	X(open_v2)                                                                                                     \
	X(prepare_v2)                                                                                                  \
	X(prepare_v3)                                                                                                  \
	X(reset)                                                                                                       \
	X(step)                                                                                                        \
	X(system_errno)

#define SMQ_SQLITE_MEMBER(name) __typeof__(sqlite3_##name) *name;
struct smq_sqlite {
	SMQ_SQLITE_EACH(SMQ_SQLITE_MEMBER)
};

/* Its functions, once smq_sqlite_load() has been SMQ_OK. */
extern struct smq_sqlite smq_sqlite;
SMQ_MUST_USE smq_err smq_sqlite_load(void); /* SMQ_ERR_LIBRARY */

#endif
