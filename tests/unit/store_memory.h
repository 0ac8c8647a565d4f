/* A store in memory that can be made to fail, and copied like a directory. */
#ifndef SMQ_TESTS_STORE_MEMORY_H
#define SMQ_TESTS_STORE_MEMORY_H

#include <stdlib.h>
#include <string.h>

#include "app/store.h"

enum { STORE_VALUES = 64 };

struct store_memory {
	struct {
		char key[81];
		uint8_t *bytes;
		size_t len;
	} values[STORE_VALUES];
	size_t puts;
	smq_err fail; /* what put answers, if not SMQ_OK */
};

static smq_err store_memory_put(void *self, const char *key, smq_span value)
{
	struct store_memory *m = self;
	size_t i = 0;
	if (m->fail != SMQ_OK)
		return m->fail;
	while (i < STORE_VALUES && m->values[i].bytes && strcmp(m->values[i].key, key) != 0)
		i++;
	if (i == STORE_VALUES || strlen(key) > 80)
		return SMQ_ERR_BUG;
	for (const char *c = key; *c; c++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", *c))
			return SMQ_ERR_BUG;
	}
	strcpy(m->values[i].key, key);
	m->values[i].bytes = realloc(m->values[i].bytes, value.len + 1);
	memcpy(m->values[i].bytes, value.p, value.len);
	m->values[i].len = value.len;
	m->puts++;
	return SMQ_OK;
}

static smq_err store_memory_get(void *self, const char *key, smq_mspan room, size_t *ret_len)
{
	struct store_memory *m = self;
	for (size_t i = 0; i < STORE_VALUES && m->values[i].bytes; i++) {
		if (strcmp(m->values[i].key, key) != 0)
			continue;
		if (m->values[i].len > room.len)
			return SMQ_ERR_NO_ROOM;
		memcpy(room.p, m->values[i].bytes, m->values[i].len);
		*ret_len = m->values[i].len;
		return SMQ_OK;
	}
	return SMQ_ERR_NOT_FOUND;
}

static inline struct smq_store store_memory_port(struct store_memory *m)
{
	return (struct smq_store){ .self = m, .put = store_memory_put, .get = store_memory_get };
}

static inline void store_memory_done(struct store_memory *m)
{
	for (size_t i = 0; i < STORE_VALUES; i++)
		free(m->values[i].bytes);
	memset(m, 0, sizeof(*m));
}

#endif
