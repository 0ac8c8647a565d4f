/* The CA's log as a whole: which certificates there are, and which of them are revoked. */
#include "lib/ca_list.h"

#include <stdlib.h>

#include "base/text.h"
#include "lib/ca_dir.h"

struct revoked {
	char serial[33];
	enum smq_ca_reason reason;
	int64_t when_ms;
};

struct reading {
	struct smq_ca_record *record;
	struct revoked *revoked;
	size_t count, room;
};

/* Room for one more of `size` bytes in a growing array. */
static bool grow(void **items, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return true;
	size_t more = *room ? *room * 2 : 64;
	void *bigger = realloc(*items, more * size);
	if (!bigger)
		return false;
	*items = bigger;
	*room = more;
	return true;
}

static void take(void *self, const struct smq_ca_event *e)
{
	struct reading *r = self;
	struct smq_ca_record *record = r->record;
	void *items;

	if (e->kind == SMQ_CA_CRL) {
		record->crl_number = e->number > record->crl_number ? e->number : record->crl_number;
	} else if (e->kind == SMQ_CA_REVOKE) {
		items = r->revoked;
		record->no_memory |= !grow(&items, r->count, &r->room, sizeof(*r->revoked));
		r->revoked = items;
		if (record->no_memory)
			return;
		struct revoked *fresh = &r->revoked[r->count++];
		memcpy(fresh->serial, e->issued.serial, sizeof(fresh->serial));
		fresh->reason = e->issued.reason;
		fresh->when_ms = e->when_ms;
	} else {
		items = record->issued;
		record->no_memory |= !grow(&items, record->count, &record->room, sizeof(*record->issued));
		record->issued = items;
		if (!record->no_memory)
			record->issued[record->count++] = e->issued;
	}
}

/* The first of several revocations of one certificate counts. */
static int by_serial_and_time(const void *a, const void *b)
{
	const struct revoked *x = a;
	const struct revoked *y = b;
	int order = strcmp(x->serial, y->serial);
	return order != 0 ? order : (x->when_ms > y->when_ms) - (x->when_ms < y->when_ms);
}

static size_t keep_first(struct revoked *r, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || strcmp(r[kept - 1].serial, r[i].serial) != 0)
			r[kept++] = r[i];
	}
	return kept;
}

static int by_serial(const void *key, const void *item) { return strcmp(key, ((const struct revoked *)item)->serial); }

static void judge(const struct reading *r, struct smq_ca_issued *i, int64_t now_ms)
{
	const struct revoked *found =
	    r->count ? bsearch(i->serial, r->revoked, r->count, sizeof(*r->revoked), by_serial) : NULL;
	i->status = SMQ_CA_VALID;
	if (i->not_after_ms - now_ms < (i->not_after_ms - i->not_before_ms) / 3)
		i->status = SMQ_CA_EXPIRING;
	if (i->not_after_ms <= now_ms)
		i->status = SMQ_CA_EXPIRED;
	if (found) {
		i->status = SMQ_CA_REVOKED;
		i->reason = found->reason;
		i->revoked_ms = found->when_ms;
	}
}

smq_err smq_ca_record_read(const char *dir, const char *containing, int64_t now_ms, struct smq_ca_record *ret_record)
{
	struct smq_ca_record record = { .issued = NULL };
	struct reading r = { .record = &record };
	smq_err err = smq_ca_log_read(dir, containing, take, &r, smq_ca_why(), SMQ_WHY_MAX);

	if (err == SMQ_OK && record.no_memory)
		err = SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK && r.count > 0) {
		qsort(r.revoked, r.count, sizeof(*r.revoked), by_serial_and_time);
		r.count = keep_first(r.revoked, r.count);
	}
	for (size_t i = 0; err == SMQ_OK && i < record.count; i++)
		judge(&r, &record.issued[i], now_ms);
	free(r.revoked);
	if (err == SMQ_OK)
		*ret_record = record;
	else
		smq_ca_record_free(&record);
	return err;
}

void smq_ca_record_free(struct smq_ca_record *record)
{
	free(record->issued);
	*record = (struct smq_ca_record){ .issued = NULL };
}

smq_err smq_ca_list(const char *dir, void (*each)(void *self, const struct smq_ca_issued *issued), void *self,
		    const char **ret_why)
{
	struct smq_ca_record record;
	smq_ca_begin(ret_why);
	smq_err err = smq_ca_record_read(dir, NULL, smq_ca_now_ms(), &record);
	if (err != SMQ_OK)
		return smq_ca_finish(err);
	for (size_t i = 0; i < record.count; i++)
		each(self, &record.issued[i]);
	smq_ca_record_free(&record);
	return SMQ_OK;
}

smq_err smq_ca_judge_holder(const char *dir, const uint8_t hash[SMQ_HASH_LEN])
{
	struct smq_ca_record record;
	char hex[2 * SMQ_HASH_LEN + 1];
	bool good = false;
	smq_err err = smq_hex_encode(smq_span_of(hash, SMQ_HASH_LEN), hex, sizeof(hex));
	if (err == SMQ_OK)
		err = smq_ca_record_read(dir, NULL, smq_ca_now_ms(), &record);
	if (err != SMQ_OK)
		return err;
	for (size_t k = 0; k < record.count; k++)
		good |= strcmp(record.issued[k].fingerprint, hex) == 0 && record.issued[k].status <= SMQ_CA_EXPIRING;
	smq_ca_record_free(&record);
	return good ? SMQ_OK
		    : smq_ca_because(SMQ_ERR_NOT_AUTHORIZED, "its certificate is revoked, expired, or not ours");
}
