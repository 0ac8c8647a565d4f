/* The way of a message, sealed and opened: no allocation, no lock, no system call, on any lane. */
#include "cmocka_all.h"

#include <dlfcn.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "base/table.h"
#include "adapters/crypto_ipsecmb/crypto_ipsecmb.h"
#include "core/group.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { MESSAGES = 1000, SIZE = 64, ROOM = 256 };

static size_t allocations, locks;

/* ---- everything between us and libc that allocates or locks, libcrypto's calls included ---- */

#if !SANITIZED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
	allocations++;
	return __libc_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}

#define COUNT_LOCKS(function, type)                                                                                    \
	int function(type *lock)                                                                                       \
	{                                                                                                              \
		static int (*real)(type *);                                                                            \
		locks++;                                                                                               \
		if (!real)                                                                                             \
			*(void **)&real = dlsym(RTLD_NEXT, #function);                                                 \
		return real(lock);                                                                                     \
	}

COUNT_LOCKS(pthread_mutex_lock, pthread_mutex_t)
COUNT_LOCKS(pthread_rwlock_rdlock, pthread_rwlock_t)
COUNT_LOCKS(pthread_rwlock_wrlock, pthread_rwlock_t)
#endif

/* ---- a sender and a receiver ---- */

static struct smq_group_file file;
static struct smq_group sender, receiver;
static struct smq_group_life lives[2][8];
static const char topic[] = "plant/fridge-07/temperature";

static void start(const struct smq_crypto *crypto, int alg)
{
	file = (struct smq_group_file){ .realm = "plant",
					.group = "telemetry",
					.epoch = 1,
					.alg = smq_aead_alg_by_id(alg),
					.member_count = 2,
					.members = { "fridge-07", "desk" },
					.filter_count = 1,
					.filters = { "plant/+/temperature" } };
	memset(lives, 0, sizeof(lives));
	assert_int_equal(smq_group_init(&sender, crypto, smq_random_system(), &file, "fridge-07", NULL, lives[0], 8),
			 SMQ_OK);
	assert_int_equal(smq_group_init(&receiver, crypto, smq_random_system(), &file, "desk", NULL, lives[1], 8),
			 SMQ_OK);
}

static void stop(void)
{
	smq_group_done(&sender);
	smq_group_done(&receiver);
}

/* One way and back; nothing of the test's own in between. */
static bool pass(void)
{
	uint8_t plain[SIZE] = { 1, 2, 3 }, room[ROOM], out[ROOM];
	size_t len = 0;
	struct smq_sealed s;
	struct smq_group_opened o;
	return smq_group_seal(&sender, smq_span_of(topic, sizeof(topic) - 1), 5, smq_span_of(plain, SIZE),
			      smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK &&
	       smq_sealed_decode(smq_span_of(room, len), &s) == SMQ_OK &&
	       smq_group_open(&receiver, &s, smq_span_of(topic, sizeof(topic) - 1), 0, smq_mspan_of(out, sizeof(out)),
			      &o) == SMQ_OK &&
	       o.len == SIZE && memcmp(out, plain, SIZE) == 0;
}

static bool pass_all(void)
{
	bool good = true;
	for (int i = 0; i < MESSAGES; i++)
		good = pass() && good;
	return good;
}

/* Where the library is not there the provider's lane runs twice. */
static const struct smq_crypto *multibuffer(void)
{
	static struct smq_crypto port;
	if (!port.name && !smq_crypto_ipsecmb_over(smq_crypto_openssl(), &port))
		port = *smq_crypto_openssl();
	return &port;
}

static const struct {
	const struct smq_crypto *(*lane)(void);
	int alg;
} rows[] = {
	{ smq_crypto_openssl, SMQ_A128GCM },
	{ smq_crypto_openssl, SMQ_A256GCM },
	{ smq_crypto_openssl, SMQ_CHACHA20_POLY1305 },
	{ smq_crypto_openssl_evp, SMQ_A128GCM },
	{ smq_crypto_openssl_evp, SMQ_A256GCM },
	{ smq_crypto_openssl_evp, SMQ_CHACHA20_POLY1305 },
	{ multibuffer, SMQ_A128GCM },
	{ multibuffer, SMQ_A256GCM },
	{ multibuffer, SMQ_CHACHA20_POLY1305 },
};

static void a_message_neither_allocates_nor_locks(void **state)
{
	(void)state;
	if (SANITIZED)
		skip();
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		start(rows[i].lane(), rows[i].alg);
		assert_true(pass()); /* the receiver meets the sender: that may cost */
		size_t allocated = allocations, locked = locks;
		assert_true(allocated > 0 && locked > 0); /* the counters count */
		assert_true(pass_all());
		assert_int_equal(allocations - allocated, 0);
		assert_int_equal(locks - locked, 0);
		stop();
	}
}

/* ---- system calls: under strict seccomp every one but read, write and exit ends the process ---- */

enum { CHILD_GOOD = 0, CHILD_BAD = 1, CHILD_NO_SECCOMP = 77 };

static bool call_the_system(void) { return syscall(SYS_getppid) > 0; }

static void in_child(bool (*work)(void))
{
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
		_exit(CHILD_NO_SECCOMP);
	bool good = work();
	syscall(SYS_exit, good ? CHILD_GOOD : CHILD_BAD);
}

static int status_of(bool (*work)(void))
{
	int status = 0;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		in_child(work);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void a_message_calls_no_system(void **state)
{
	(void)state;
	const char *preload = getenv("LD_PRELOAD");
	if (SANITIZED || (preload && strstr(preload, "vgpreload")))
		skip(); /* they call the system themselves */
	int status = status_of(call_the_system);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_NO_SECCOMP)
		skip();
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* the check can fail */
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		start(rows[i].lane(), rows[i].alg);
		assert_true(pass());
		status = status_of(pass_all);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), CHILD_GOOD);
		stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_neither_allocates_nor_locks),
		cmocka_unit_test(a_message_calls_no_system),
	};
	return cmocka_run_group_tests_name("message_path", tests, NULL, NULL);
}
