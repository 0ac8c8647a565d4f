/* What the files of this adapter share. */
#ifndef SMQ_ADAPTERS_CONFINE_SECCOMP_CONFINE_INTERNAL_H
#define SMQ_ADAPTERS_CONFINE_SECCOMP_CONFINE_INTERNAL_H

#include <sealmq/confine.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SMQ_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SMQ_SANITIZED 1
#endif

/* The version of Landlock in this kernel; 0: none. */
int smq_landlock_version(void);
/* no_new_privs must be set. */
SMQ_MUST_USE smq_err smq_landlock_apply(const struct smq_rights *rights, int version);
SMQ_MUST_USE smq_err smq_calls_apply(const struct smq_rights *rights);

#endif
