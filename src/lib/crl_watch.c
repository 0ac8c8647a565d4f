/* The realm's revocation list while a client runs. */
#include "lib/crl_watch.h"

#include "lib/realm_internal.h"

enum {
	LOOK_EVERY_MS = 2000,
	REFUSED_EVERY_MS = 60 * 1000,
	TELL_EVERY_MS = 6 * 3600 * 1000,
	WARN_PART = 4 /* the end is told of when less than this part of the list's time is left: 42 h of 7 days */
};

struct smq_crl_watch smq_crl_watch_on(smq_realm *realm, struct smq_now now)
{
	return (struct smq_crl_watch){
		.realm = realm,
		.due_ms = realm ? now.mono_ms : INT64_MAX,
		.told_ms = INT64_MIN / 2,
		.refused_ms = INT64_MIN / 2,
		.identity = realm ? smq_realm_own_generation(realm) : 0,
		.generation = realm ? smq_realm_crl_stretch(realm).generation : 0,
	};
}

static void tell(const struct smq_client_options *o, enum smq_event_kind kind, smq_err err, int64_t ms)
{
	struct smq_event e = { .kind = kind, .peer = "", .err = err, .took_ms = ms > 0 ? (uint64_t)ms : 0 };
	if (o->on_event)
		o->on_event(o->self, &e);
}

static void take_new(struct smq_crl_watch *w, smq_member *member, const struct smq_client_options *o,
		     struct smq_now now)
{
	tell(o, SMQ_EVENT_CRL_NEW, SMQ_OK, 0);
	w->generation = smq_realm_crl_stretch(w->realm).generation;
	w->told_ms = INT64_MIN / 2;
	w->reviewed_stale = false;
	if (member)
		smq_member_review(member, now);
}

/* At the end of the list nobody can be judged any more: where that is not accepted, sessions end too. */
static void check_end(struct smq_crl_watch *w, smq_member *member, const struct smq_client_options *o,
		      struct smq_now now)
{
	struct smq_crl_stretch s = smq_realm_crl_stretch(w->realm);
	bool stale = now.unix_ms >= s.until_ms;
	bool ending = s.until_ms != INT64_MAX && s.until_ms - now.unix_ms < (s.until_ms - s.from_ms) / WARN_PART;
	bool accepted = smq_realm_takes_stale_crl(w->realm);

	if (stale && member && !accepted && !w->reviewed_stale)
		smq_member_review(member, now);
	w->reviewed_stale = stale;
	if (!stale && !ending)
		return;
	if (w->stale == stale && now.mono_ms - w->told_ms < TELL_EVERY_MS)
		return;
	w->told_ms = now.mono_ms;
	w->stale = stale;
	tell(o, stale ? SMQ_EVENT_CRL_STALE : SMQ_EVENT_CRL_ENDING, stale && !accepted ? SMQ_ERR_CERT_CRL : SMQ_OK,
	     s.until_ms - now.unix_ms);
}

void smq_crl_watch_refused(struct smq_crl_watch *w, const struct smq_client_options *options, smq_err err,
			   struct smq_now now)
{
	if (now.mono_ms - w->refused_ms < REFUSED_EVERY_MS)
		return;
	w->refused_ms = now.mono_ms;
	tell(options, SMQ_EVENT_CRL_REFUSED, err, 0);
}

/* The own certificate, renewed by whoever does that: sessions to come, and groups, go by the new one. */
static void look_at_own(struct smq_crl_watch *w, const struct smq_client_options *options)
{
	if (smq_realm_own_changed(w->realm)) {
		smq_err err = smq_realm_reload_own(w->realm, NULL);
		if (err != SMQ_OK)
			tell(options, SMQ_EVENT_IDENTITY_REFUSED, err, 0);
	}
	if (smq_realm_own_generation(w->realm) == w->identity)
		return;
	w->identity = smq_realm_own_generation(w->realm);
	tell(options, SMQ_EVENT_IDENTITY_NEW, SMQ_OK, 0);
}

void smq_crl_watch_look(struct smq_crl_watch *w, smq_member *member, const struct smq_client_options *options,
			struct smq_now now)
{
	w->due_ms = now.mono_ms + LOOK_EVERY_MS;
	/* first: lists and the own certificate may be a new root's */
	if (smq_realm_roots_changed(w->realm) && smq_realm_reload_roots(w->realm) == SMQ_OK)
		tell(options, SMQ_EVENT_ROOT_NEW, SMQ_OK, 0);
	if (smq_realm_crl_changed(w->realm)) {
		smq_err err = smq_realm_reload_crl(w->realm, NULL);
		if (err != SMQ_OK)
			tell(options, SMQ_EVENT_CRL_REFUSED, err, 0);
	}
	/* Another client of this realm may have been the one that read it. */
	if (smq_realm_crl_stretch(w->realm).generation != w->generation)
		take_new(w, member, options, now);
	check_end(w, member, options, now);
	look_at_own(w, options);
}
