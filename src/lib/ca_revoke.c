/* Revoking certificates: into the log first, into the lists at once. */
#include <sealmq/ca.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lib/ca_crl.h"
#include "lib/ca_list.h"

/* A serial number means one certificate, whatever it is; a name all good ones of a member. */
static bool meant(const struct smq_ca_issued *i, const char *who, int64_t now_ms)
{
	if (i->status == SMQ_CA_REVOKED)
		return false;
	if (strcmp(i->serial, who) == 0)
		return true;
	return i->roles != 0 && i->not_after_ms > now_ms && strcmp(i->name, who) == 0;
}

static smq_err nothing(const struct smq_ca_record *record, const char *who, bool *ret_stands)
{
	for (size_t k = 0; k < record->count; k++) {
		const struct smq_ca_issued *i = &record->issued[k];
		*ret_stands = *ret_stands || i->status == SMQ_CA_REVOKED;
		if (strcmp(i->serial, who) == 0 || strcmp(i->name, who) == 0)
			return smq_ca_because(SMQ_ERR_NOT_FOUND, "%s: revoked or expired already", who);
	}
	return smq_ca_because(SMQ_ERR_NOT_FOUND, "%s: no certificate of this name or serial number was issued here",
			      who);
}

/* *ret_stands: nothing is left to be revoked, as it has been. */
static smq_err write_down(const struct smq_ca_dir *ca, const struct smq_ca_revoke_options *o, size_t *ret_count,
			  bool *ret_stands)
{
	struct smq_ca_record record;
	int64_t now = smq_ca_now_ms();
	size_t count = 0;
	smq_err err = smq_ca_record_read(ca->dir, o->who, now, &record);
	if (err != SMQ_OK)
		return err;
	struct smq_ca_event *events = calloc(record.count + 1, sizeof(*events));
	for (size_t k = 0; events && k < record.count; k++) {
		if (!meant(&record.issued[k], o->who, now))
			continue;
		events[count] =
		    (struct smq_ca_event){ .kind = SMQ_CA_REVOKE, .when_ms = now, .issued = record.issued[k] };
		events[count++].issued.reason = o->reason;
	}
	if (!events)
		err = SMQ_ERR_NO_MEMORY;
	else if (count == 0)
		err = nothing(&record, o->who, ret_stands);
	else
		err = smq_ca_log_append(ca->log, events, count, smq_ca_why(), SMQ_WHY_MAX);
	free(events);
	smq_ca_record_free(&record);
	if (err == SMQ_OK)
		*ret_count = count;
	return err;
}

/* The revocation stands, whatever becomes of the list; both are said. */
static smq_err list_failed(smq_err err)
{
	char said[SMQ_WHY_MAX];
	(void)snprintf(said, sizeof(said), "%s", smq_ca_why()[0] ? smq_ca_why() : smq_err_text(err));
	return smq_ca_because(err, "revoked, but no list says so yet: %s; `sealmq ca crl` makes it", said);
}

/* It may have died between the log and the lists the last time: asked again, it makes what is missing. */
static smq_err list_again(const struct smq_ca_dir *ca, const struct smq_ca_revoke_options *o, smq_err err)
{
	char said[SMQ_WHY_MAX];
	struct smq_ca_crl crl;
	(void)snprintf(said, sizeof(said), "%s", smq_ca_why());
	smq_err listed = smq_ca_crl_renew(ca, &o->crl, &crl);
	return listed == SMQ_OK ? smq_ca_because(err, "%s; the lists were made anew", said) : list_failed(listed);
}

smq_err smq_ca_revoke(const char *dir, const struct smq_ca_revoke_options *options, size_t *ret_revoked,
		      struct smq_ca_crl *ret_crl, const char **ret_why)
{
	struct smq_ca_dir ca;
	struct smq_ca_crl crl;
	size_t count = 0;
	bool stands = false;
	smq_ca_begin(ret_why);
	if (!options->who || !smq_name_valid(smq_span_str(options->who)))
		return smq_ca_because(SMQ_ERR_NAME, "'%s' is neither a name nor a serial number",
				      options->who ? options->who : "");
	smq_err err = smq_ca_dir_open(dir, &ca);
	if (err == SMQ_OK)
		err = write_down(&ca, options, &count, &stands);
	if (err == SMQ_ERR_NOT_FOUND && stands)
		err = list_again(&ca, options, err);
	if (err == SMQ_OK) {
		*ret_revoked = count;
		err = smq_ca_crl_renew(&ca, &options->crl, &crl);
		if (err == SMQ_OK && ret_crl)
			*ret_crl = crl;
		else if (err != SMQ_OK)
			err = list_failed(err);
	}
	smq_ca_dir_close(&ca);
	return smq_ca_finish(err);
}
