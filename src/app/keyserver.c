/* The key server as a whole: its life, what arrives, whose turn it is, and when it wants to be woken. */
#include "app/keyserver_inner.h"

#include <stdlib.h>

#include "base/text.h"
#include "base/wipe.h"
#include "core/reserve.h"

enum {
	REQUESTS_PER_MIN_DEFAULT = 120,
	STARTS_PER_S_DEFAULT = 2000,
	OUT_MAX_DEFAULT = 64,
	RUNS_MAX = 1024,
	RATE_SETS = 1024,
	RATE_WAYS = 4,
	MS_PER_MIN = 60 * 1000,
	DROPPED_GAP_MS = 1000
};

static const int suites[] = { 2, 3, 0, 1 }; /* as members propose them */

/* One identity's budget: thousandths of a request. */
struct ks_rate {
	uint64_t who; /* hash of its name; 0: free */
	int64_t at;
	uint64_t left;
};

/* ---- small things ---- */

struct smq_now ks_now(const struct smq_keyserver *ks) { return ks->config.clock.now(); }

void ks_tell(struct smq_keyserver *ks, const struct smq_keyserver_event *event)
{
	ks_count(ks, event);
	if (ks->config.on_event)
		ks->config.on_event(ks->config.self, event);
}

smq_err ks_bytes_set(struct ks_bytes *b, smq_span value)
{
	uint8_t *p = value.len > 0 ? malloc(value.len) : NULL;
	if (value.len > 0 && !p)
		return SMQ_ERR_NO_MEMORY;
	if (value.len > 0)
		memcpy(p, value.p, value.len);
	free(b->p);
	*b = (struct ks_bytes){ p, value.len };
	return SMQ_OK;
}

static int compare(const char *a, smq_span b)
{
	size_t len = strlen(a);
	int order = memcmp(a, b.p, len < b.len ? len : b.len);
	return order != 0 ? order : (len > b.len) - (len < b.len);
}

/* Where a group of this name is, or would be. */
static size_t place_of(const struct smq_keyserver *ks, smq_span name)
{
	size_t low = 0, high = ks->group_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(ks->groups[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ks_group *ks_group_find(const struct smq_keyserver *ks, smq_span name)
{
	size_t at = place_of(ks, name);
	return at < ks->group_count && compare(ks->groups[at]->name, name) == 0 ? ks->groups[at] : NULL;
}

smq_err ks_group_add(struct smq_keyserver *ks, struct ks_group *g)
{
	if (ks->group_count == ks->group_room) {
		size_t room = ks->group_room ? 2 * ks->group_room : 16;
		struct ks_group **more = realloc(ks->groups, room * sizeof(*more));
		if (!more)
			return SMQ_ERR_NO_MEMORY;
		ks->groups = more;
		ks->group_room = room;
	}
	size_t at = place_of(ks, smq_span_str(g->name));
	memmove(ks->groups + at + 1, ks->groups + at, (ks->group_count - at) * sizeof(*ks->groups));
	ks->groups[at] = g;
	ks->group_count++;
	return SMQ_OK;
}

/* ---- rates ---- */

/* Seeded, so that nobody can choose names that share another's budget. */
static uint64_t hash_of(const struct smq_keyserver *ks, const char *name)
{
	uint64_t h;
	memcpy(&h, ks->instance, sizeof(h));
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(1099511628211);
	h ^= h >> 29;
	return h ? h : 1;
}

/* The identity's row; else one that is free, or the one that was used the longest time ago. */
static struct ks_rate *rate_of(struct smq_keyserver *ks, uint64_t who)
{
	struct ks_rate *set = &ks->rates[who % RATE_SETS * RATE_WAYS], *oldest = set;
	for (unsigned i = 0; i < RATE_WAYS; i++) {
		if (set[i].who == who)
			return &set[i];
		if (set[i].who == 0 || (oldest->who != 0 && set[i].at < oldest->at))
			oldest = &set[i];
	}
	oldest->who = 0;
	return oldest;
}

static bool within_rate(struct smq_keyserver *ks, const char *name, struct smq_now now)
{
	uint64_t who = hash_of(ks, name), full = (uint64_t)ks->config.requests_per_min * 1000;
	struct ks_rate *r = rate_of(ks, who);
	if (r->who == 0)
		*r = (struct ks_rate){ who, now.mono_ms, full };
	uint64_t passed = (uint64_t)(now.mono_ms - r->at);
	r->left += passed >= MS_PER_MIN ? full : passed * ks->config.requests_per_min / 60;
	r->left = r->left < full ? r->left : full;
	r->at = now.mono_ms;
	if (r->left < 1000)
		return false;
	r->left -= 1000;
	return true;
}

/* ---- what arrives ---- */

static void tell_dropped(struct smq_keyserver *ks, smq_span from, smq_err err, struct smq_now now)
{
	char who[SMQ_MEMBER_NAME_MAX + 1] = "";
	struct smq_keyserver_event e = { .kind = SMQ_KEYSERVER_DROPPED, .who = who, .err = err };
	if (now.mono_ms < ks->dropped_at)
		return;
	if (smq_name_valid(from))
		memcpy(who, from.p, from.len);
	ks->dropped_at = now.mono_ms + DROPPED_GAP_MS;
	ks_tell(ks, &e);
}

/* Whoever asks too often is told so, which costs less than what it asked for. */
static void refuse_rate(struct smq_keyserver *ks, uint64_t run, smq_span from, struct smq_now now)
{
	struct smq_ks_answer a = { SMQ_ERR_RATE, smq_span_str(smq_err_text(SMQ_ERR_RATE)), smq_span_of("\xf6", 1) };
	size_t len = 0;
	char to[SMQ_MEMBER_NAME_MAX + 1];
	smq_err err = smq_ks_answer_encode(&a, smq_mspan_of(ks->answer, sizeof(ks->answer)), &len);
	if (err == SMQ_OK)
		err = smq_ks_desk_answer(ks->desk, run, smq_span_of(ks->answer, len),
					 smq_mspan_of(ks->envelope, sizeof(ks->envelope)), &len, to);
	if (err == SMQ_OK)
		ks_reply(ks, SMQ_KS_TOPIC_ANSWER, smq_span_str(to), smq_span_of(ks->envelope, len));
	tell_dropped(ks, from, SMQ_ERR_RATE, now);
}

static void request_input(struct smq_keyserver *ks, smq_span from, smq_span payload, struct smq_now now)
{
	struct smq_ks_asked asked = { .run = 0 };
	size_t len = 0;
	smq_err err = smq_ks_desk_input(ks->desk, from, payload, now, smq_mspan_of(ks->envelope, sizeof(ks->envelope)),
					&len, smq_mspan_of(ks->request, sizeof(ks->request)), &asked);
	if (len > 0)
		ks_reply(ks, SMQ_KS_TOPIC_ANSWER, from, smq_span_of(ks->envelope, len));
	if (err != SMQ_OK)
		tell_dropped(ks, from, err, now);
	else if (asked.run != 0 && !within_rate(ks, asked.from->name, now))
		refuse_rate(ks, asked.run, from, now);
	else if (asked.run != 0)
		ks_asked(ks, &asked, now);
	smq_wipe(ks->request, asked.run ? sizeof(ks->request) : 0);
}

/* Until the broker's manifests have been heard, nobody knows whether our database is the latest. */
static void hold_back(struct smq_keyserver *ks, smq_span from, smq_span payload)
{
	struct ks_early *e = &ks->early[ks->early_count];
	if (ks->early_count == KS_EARLY_MAX || payload.len > sizeof(ks->request) || from.len > SMQ_MEMBER_NAME_MAX ||
	    ks_bytes_set(&e->payload, payload) != SMQ_OK)
		return;
	memcpy(e->from, from.p, from.len);
	e->from[from.len] = 0;
	ks->early_count++;
}

static void take_early(struct smq_keyserver *ks, struct smq_now now)
{
	for (size_t i = 0; i < ks->early_count; i++) {
		struct ks_early *e = &ks->early[i];
		request_input(ks, smq_span_str(e->from), ks_span(&e->payload), now);
		free(e->payload.p);
		memset(e, 0, sizeof(*e));
	}
	ks->early_count = 0;
}

void smq_keyserver_input(struct smq_keyserver *ks, const char *topic, smq_span payload, bool retained)
{
	struct smq_ks_topic t = smq_ks_topic_read(ks->prefix, topic);
	struct smq_now now = ks_now(ks);
	if (ks->stopped)
		return;
	switch (t.kind) {
	case SMQ_KS_TOPIC_REQUEST:
		if (retained)
			tell_dropped(ks, t.name, SMQ_ERR_REPLAY, now);
		else if (!ks->settled)
			hold_back(ks, t.name, payload);
		else
			request_input(ks, t.name, payload, now);
		break;
	case SMQ_KS_TOPIC_CLAIM:
		ks_claim_input(ks, payload, retained, now);
		break;
	case SMQ_KS_TOPIC_MANIFEST:
		ks_manifest_input(ks, t.name, payload, retained, now);
		break;
	default:
		break;
	}
}

/* ---- the broker comes and goes ---- */

const char *smq_keyserver_filter(const struct smq_keyserver *ks, size_t i)
{
	return i < sizeof(ks->filters) / sizeof(ks->filters[0]) && ks->filters[i][0] ? ks->filters[i] : NULL;
}

void smq_keyserver_online(struct smq_keyserver *ks)
{
	struct smq_now now = ks_now(ks);
	if (!ks->online && !ks->settled)
		ks->settle_until = now.mono_ms + (ks->restored ? KS_SETTLE_RESTORED_MS : KS_SETTLE_MS);
	ks->online = true;
	for (size_t i = 0; i < ks->group_count; i++) {
		ks->groups[i]->heard = false;
		ks->groups[i]->heard_by = now.mono_ms + KS_RETAINED_WAIT_MS;
	}
	ks_claim(ks, now);
	smq_keyserver_tick(ks);
}

void smq_keyserver_offline(struct smq_keyserver *ks)
{
	ks->online = false;
	ks_out_offline(ks);
}

/* ---- time ---- */

/* A database from a backup goes on well above where it was; what the broker showed may have put it higher already. */
static void jump_restored(struct smq_keyserver *ks, struct smq_now now)
{
	for (size_t i = 0; i < ks->group_count; i++) {
		struct ks_group *g = ks->groups[i];
		if (!g->jumped)
			ks_group_jump(g, g->chain.epoch, g->chain.hash, now);
	}
}

static bool all_heard(const struct smq_keyserver *ks)
{
	bool all = true;
	for (size_t i = 0; i < ks->group_count; i++)
		all = all && (ks->groups[i]->heard || ks->groups[i]->jumped);
	return all;
}

static void settle(struct smq_keyserver *ks, struct smq_now now)
{
	if (!all_heard(ks) && now.mono_ms < ks->settle_until)
		return;
	ks->settled = true;
	if (ks->restored)
		jump_restored(ks, now);
	take_early(ks, now);
}

/* Group by group, some certificates at a time. */
static void review(struct smq_keyserver *ks, struct smq_now now)
{
	unsigned budget = KS_REVIEWED_AT_A_TIME;
	for (size_t i = 0; i < ks->group_count && budget > 0; i++) {
		if (ks->reviewed_group >= ks->group_count)
			ks->reviewed_group = 0;
		if (!ks_group_review(ks->groups[ks->reviewed_group], &budget, now))
			ks->reviewed_group++;
	}
}

static void timers(struct smq_keyserver *ks, struct smq_now now)
{
	if (now.mono_ms < ks->timers_at)
		return;
	ks->timers_at = now.mono_ms + KS_TIMERS_EVERY_MS;
	for (size_t i = 0; i < ks->group_count; i++)
		ks_group_timers(ks->groups[i], now);
	review(ks, now);
	if (now.mono_ms >= ks->claim_at)
		ks_claim(ks, now);
	smq_ks_desk_tick(ks->desk, now);
}

/* While the broker is away nobody could hear of an epoch, so none is made. */
void smq_keyserver_tick(struct smq_keyserver *ks)
{
	struct smq_now now = ks_now(ks);
	if (ks->stopped || !ks->online)
		return;
	if (!ks->settled)
		settle(ks, now);
	if (ks->settled) {
		timers(ks, now);
		ks_flush(ks, now);
	}
	ks_out_pump(ks);
}

int64_t smq_keyserver_wake_at(const struct smq_keyserver *ks)
{
	int64_t at = ks->timers_at;
	if (ks->stopped || !ks->online)
		return INT64_MAX;
	if (!ks->settled)
		return all_heard(ks) ? INT64_MIN : ks->settle_until;
	for (size_t i = 0; i < ks->group_count; i++) {
		int64_t due = ks_group_due_at(ks->groups[i]);
		at = due < at ? due : at;
	}
	return at > ks->flush_not_before ? at : ks->flush_not_before;
}

/* ---- life ---- */

static smq_err copy_texts(struct smq_keyserver *ks)
{
	static const enum smq_ks_topic_kind kinds[] = { SMQ_KS_TOPIC_MANIFEST, SMQ_KS_TOPIC_CLAIM,
							SMQ_KS_TOPIC_REQUEST };
	ks->realm = strdup(ks->config.realm);
	ks->name = strdup(ks->config.name);
	ks->prefix = strdup(ks->config.prefix);
	if (!ks->realm || !ks->name || !ks->prefix)
		return SMQ_ERR_NO_MEMORY;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct smq_ks_topic t = { .kind = kinds[i], .name = smq_span_str("+") };
		smq_err err = smq_ks_topic_write(ks->prefix, &t, smq_mspan_of(ks->filters[i], sizeof(ks->filters[i])));
		if (err != SMQ_OK)
			return err;
	}
	return SMQ_OK;
}

static void set_defaults(struct smq_keyserver_config *c)
{
	c->requests_per_min = c->requests_per_min ? c->requests_per_min : REQUESTS_PER_MIN_DEFAULT;
	c->starts_per_s = c->starts_per_s ? c->starts_per_s : STARTS_PER_S_DEFAULT;
	c->runs_max = c->runs_max ? c->runs_max : RUNS_MAX;
	c->out_max = c->out_max ? c->out_max : OUT_MAX_DEFAULT;
	c->out_max = c->out_max < KS_ACKED_MAX / 2 ? c->out_max : KS_ACKED_MAX / 2;
}

static smq_err make_desk(struct smq_keyserver *ks)
{
	const struct smq_ks_desk_config c = { .crypto = ks->config.crypto,
					      .random = ks->config.random,
					      .credentials = &ks->all,
					      .own = ks->config.own,
					      .own_by_kid = ks->own_key.serves ? &ks->own_key.own : NULL,
					      .name = ks->name,
					      .methods_allowed = 0xf,
					      .suites = suites,
					      .suite_count = sizeof(suites) / sizeof(suites[0]),
					      .runs_max = ks->config.runs_max,
					      .starts_per_s = ks->config.starts_per_s };
	size_t size = smq_ks_desk_size(&c);
	ks->desk_memory = size ? malloc(size) : NULL;
	return ks->desk_memory ? smq_ks_desk_init(ks->desk_memory, size, &c, &ks->desk) : SMQ_ERR_NO_MEMORY;
}

static smq_err make_tables(struct smq_keyserver *ks)
{
	ks->rates = calloc(RATE_SETS * RATE_WAYS, sizeof(*ks->rates));
	ks->waits = calloc(KS_NOTES_MAX, sizeof(*ks->waits));
	ks->notes = calloc(KS_NOTES_MAX, sizeof(*ks->notes));
	ks->replies = calloc(KS_REPLIES_MAX, sizeof(*ks->replies));
	ks->flights = calloc(ks->config.out_max, sizeof(*ks->flights));
	ks->early = calloc(KS_EARLY_MAX, sizeof(*ks->early));
	ks->seen = calloc(KS_SEEN_MAX, sizeof(*ks->seen));
	ks->templates = calloc(KS_TEMPLATES_MAX, sizeof(*ks->templates));
	return ks->rates && ks->waits && ks->notes && ks->replies && ks->flights && ks->early && ks->seen &&
		       ks->templates
		   ? SMQ_OK
		   : SMQ_ERR_NO_MEMORY;
}

smq_err smq_keyserver_new(const struct smq_keyserver_config *config, struct smq_keyserver **ret_server,
			  const char **ret_why)
{
	struct smq_keyserver *ks = calloc(1, sizeof(*ks));
	const char *why = "no memory";
	if (!ks) {
		if (config->store.free)
			config->store.free(config->store.self);
		*ret_why = why;
		return SMQ_ERR_NO_MEMORY;
	}
	ks->config = *config;
	set_defaults(&ks->config);
	ks->started_ms = ks_now(ks).unix_ms;
	ks->asked.asked_ms = ks->claim_gap_until = INT64_MIN;
	for (size_t i = 0; i < KS_QUESTIONS; i++)
		ks->questions[i].asked_ms = INT64_MIN;
	smq_err err = copy_texts(ks);
	if (err == SMQ_OK)
		err = smq_boot_id_new(config->random, ks->instance);
	if (err == SMQ_OK)
		err = make_tables(ks);
	if (err == SMQ_OK)
		err = ks_keys_init(ks);
	if (err == SMQ_OK)
		err = make_desk(ks);
	if (err == SMQ_OK)
		err = ks_load(ks, &why);
	if (err != SMQ_OK) {
		smq_keyserver_free(ks);
		*ret_why = why;
		return err;
	}
	*ret_server = ks;
	return SMQ_OK;
}

void smq_keyserver_free(struct smq_keyserver *ks)
{
	if (!ks)
		return;
	if (ks->desk)
		smq_ks_desk_done(ks->desk);
	for (size_t i = 0; i < ks->group_count; i++)
		ks_group_free(ks->groups[i]);
	for (size_t i = 0; i < ks->template_count; i++)
		ks_policy_done(&ks->templates[i]);
	for (size_t i = 0; i < ks->early_count; i++)
		free(ks->early[i].payload.p);
	if (ks->replies)
		ks_out_done(ks);
	ks_keys_done(ks);
	free(ks->bars.bars);
	free(ks->desk_memory);
	free(ks->groups);
	free(ks->templates);
	free(ks->rates);
	free(ks->waits);
	free(ks->notes);
	free(ks->early);
	free(ks->seen);
	free(ks->realm);
	free(ks->name);
	free(ks->prefix);
	if (ks->config.store.free)
		ks->config.store.free(ks->config.store.self);
	smq_wipe(ks, sizeof(*ks));
	free(ks);
}
