/*
 * A disk for SQLite that tells what was written and what was synced, fails where it is told to, and can be put back as
 * a power cut may leave it: what was synced is there; of what was not, any sectors or none.
 */
#ifndef SMQ_TESTS_POWER_VFS_H
#define SMQ_TESTS_POWER_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum power_fault { POWER_FULL, POWER_EIO, POWER_FSYNC, POWER_MEMORY, POWER_FAULTS };

/* Shared with whoever commands it; lies in shared memory. */
struct power_control {
	uint64_t calls;   /* that a disk can fail */
	uint64_t fail_at; /* 0: never; from this call on, until it is lifted */
	enum power_fault fault;
	uint64_t failed;
};

/* In the process that has the database: everything SQLite does goes through here. log NULL: nothing is written down. */
bool power_vfs_start(const char *log, struct power_control *control);

/*
 * Elsewhere, when that process is gone: the files in dir as after a power cut. syncs false: as if no sync had ever been
 * asked for, since the log begins. The log is empty afterwards.
 */
bool power_cut(const char *dir, const char *log, uint64_t *seed, bool syncs);

uint64_t power_draw(uint64_t *seed);

#endif
