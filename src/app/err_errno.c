/* Which of our error codes an errno is. */
#include "app/err_errno.h"

#include <errno.h>

#include "base/table.h"

smq_err smq_err_of_errno(int code)
{
	static const struct {
		int code;
		smq_err err;
	} rows[] = {
		{ ENOENT, SMQ_ERR_NOT_FOUND },       { ENOTDIR, SMQ_ERR_NOT_FOUND }, { EACCES, SMQ_ERR_PERMISSION },
		{ EPERM, SMQ_ERR_PERMISSION },       { EROFS, SMQ_ERR_PERMISSION },  { ENOSPC, SMQ_ERR_DISK_FULL },
		{ EDQUOT, SMQ_ERR_DISK_FULL },       { EFBIG, SMQ_ERR_DISK_FULL },   { EEXIST, SMQ_ERR_EXISTS },
		{ ENOTEMPTY, SMQ_ERR_EXISTS },       { ELOOP, SMQ_ERR_UNSAFE_FILE }, { EWOULDBLOCK, SMQ_ERR_LOCKED },
		{ ENAMETOOLONG, SMQ_ERR_TOO_LARGE }, { ENOMEM, SMQ_ERR_NO_MEMORY },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (rows[i].code == code)
			return rows[i].err;
	}
	return SMQ_ERR_IO;
}
