/* What the key server answers (PROTOCOL.md 7.4). */
#include "wire/ks_answer.h"

#include "base/wipe.h"

enum { VERSION = 1, GRANT_FIELDS = 13, FETCHED_FIELDS = 5, SHOW_FIELDS = 10, ROLES_ALL = 3 };

/* ---- the answer around its body ---- */

smq_err smq_ks_answer_encode(const struct smq_ks_answer *a, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, 4);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_uint(&w, (uint64_t)a->status);
	smq_cbor_put_text(&w, a->text);
	if (a->status == SMQ_OK && a->body.len > 0)
		smq_write(&w, a->body);
	else
		smq_cbor_put_null(&w);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_ks_answer_decode(smq_span bytes, struct smq_ks_answer *ret_answer)
{
	struct smq_ks_answer a;
	struct smq_reader r = smq_reader_on(bytes);
	smq_get_head(&r, 4, VERSION);
	a.status = (smq_err)smq_get_between(&r, 0, 255);
	a.text = smq_cbor_get_text(&r);
	if (a.text.len > SMQ_KS_TEXT_MAX)
		smq_reader_fail(&r, SMQ_ERR_TOO_LARGE);
	bool empty = smq_cbor_peek(&r) == SMQ_CBOR_NULL;
	a.body = smq_cbor_get_item(&r);
	if (a.status != SMQ_OK && !empty)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_answer = a;
	return err;
}

/* ---- join ---- */

static void put_path(struct smq_writer *w, const struct smq_ks_grant *g)
{
	smq_cbor_put_array(w, g->path_len);
	for (size_t i = 0; i < g->path_len; i++) {
		smq_cbor_put_array(w, 3);
		smq_cbor_put_uint(w, g->path[i].version);
		smq_cbor_put_uint(w, g->path[i].refreshed);
		smq_cbor_put_bytes(w, smq_span_of(g->path[i].key, sizeof(g->path[i].key)));
	}
}

static void put_trees(struct smq_writer *w, const struct smq_ks_grant *g)
{
	smq_cbor_put_array(w, g->tree_count);
	for (size_t i = 0; i < g->tree_count; i++) {
		smq_cbor_put_array(w, 2);
		smq_cbor_put_uint(w, g->trees[i].tree);
		smq_write(w, g->trees[i].seeds);
	}
}

static void put_history(struct smq_writer *w, const struct smq_ks_grant *g)
{
	smq_cbor_put_array(w, g->history_count);
	for (size_t i = 0; i < g->history_count; i++) {
		smq_cbor_put_array(w, 3);
		smq_cbor_put_uint(w, g->history[i].epoch);
		smq_cbor_put_bytes(w, smq_span_of(g->history[i].secret, sizeof(g->history[i].secret)));
		smq_cbor_put_bytes(w, smq_span_of(g->history[i].manifest, SMQ_HASH_LEN));
	}
}

static bool history_rises(const struct smq_ks_grant *g)
{
	uint64_t last = 0;
	for (size_t i = 0; i < g->history_count; i++) {
		if (g->history[i].epoch <= last)
			return false;
		last = g->history[i].epoch;
	}
	return last < g->epoch;
}

static bool grant_valid(const struct smq_ks_grant *g)
{
	bool counts = g->path_len >= 2 && g->path_len <= SMQ_TREE_HEIGHT_MAX + 1 && g->tree_count <= SMQ_KS_TREES_MAX &&
		      g->history_count <= SMQ_KS_HISTORY_MAX;
	return counts && g->roles >= 1 && g->roles <= ROLES_ALL && g->epoch >= 1 && g->from_ms >= 0 &&
	       g->until_ms > g->from_ms && history_rises(g);
}

smq_err smq_ks_grant_encode(const struct smq_ks_grant *g, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (!grant_valid(g))
		return SMQ_ERR_USAGE;
	smq_cbor_put_array(&w, GRANT_FIELDS);
	smq_cbor_put_uint(&w, g->sender_id);
	smq_cbor_put_uint(&w, g->leaf);
	smq_cbor_put_uint(&w, g->roles);
	smq_put_time(&w, g->from_ms);
	smq_put_end(&w, g->until_ms);
	smq_cbor_put_uint(&w, g->epoch);
	smq_cbor_put_bytes(&w, smq_span_of(g->secret, sizeof(g->secret)));
	smq_cbor_put_bytes(&w, g->manifest);
	smq_cbor_put_bytes(&w, g->policy);
	smq_cbor_put_bytes(&w, g->admin);
	put_path(&w, g);
	put_trees(&w, g);
	put_history(&w, g);
	return smq_writer_end(&w, ret_len);
}

static void get_path(struct smq_reader *r, struct smq_ks_grant *g)
{
	g->path_len = smq_get_count(r, SMQ_TREE_HEIGHT_MAX + 1);
	for (size_t i = 0; i < g->path_len; i++) {
		if (smq_cbor_get_array(r) != 3)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		g->path[i].version = smq_cbor_get_uint(r);
		g->path[i].refreshed = smq_cbor_get_uint(r);
		smq_get_fixed(r, smq_mspan_of(g->path[i].key, sizeof(g->path[i].key)));
	}
}

static void get_trees(struct smq_reader *r, struct smq_ks_grant *g)
{
	g->tree_count = smq_get_count(r, SMQ_KS_TREES_MAX);
	for (size_t i = 0; i < g->tree_count; i++) {
		if (smq_cbor_get_array(r) != 2)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		g->trees[i].tree = smq_cbor_get_uint(r);
		g->trees[i].seeds = smq_cbor_get_item(r);
	}
}

static void get_history(struct smq_reader *r, struct smq_ks_grant *g)
{
	g->history_count = smq_get_count(r, SMQ_KS_HISTORY_MAX);
	for (size_t i = 0; i < g->history_count; i++) {
		if (smq_cbor_get_array(r) != 3)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		g->history[i].epoch = smq_cbor_get_uint(r);
		smq_get_fixed(r, smq_mspan_of(g->history[i].secret, sizeof(g->history[i].secret)));
		smq_get_fixed(r, smq_mspan_of(g->history[i].manifest, SMQ_HASH_LEN));
	}
}

smq_err smq_ks_grant_decode(smq_span body, struct smq_ks_grant *g)
{
	struct smq_reader r = smq_reader_on(body);
	if (smq_cbor_get_array(&r) != GRANT_FIELDS)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	g->sender_id = smq_cbor_get_uint(&r);
	g->leaf = smq_cbor_get_uint(&r);
	g->roles = (unsigned)smq_get_between(&r, 1, ROLES_ALL);
	g->from_ms = smq_get_time(&r);
	g->until_ms = smq_get_end(&r);
	g->epoch = smq_get_between(&r, 1, UINT64_MAX);
	smq_get_fixed(&r, smq_mspan_of(g->secret, sizeof(g->secret)));
	g->manifest = smq_cbor_get_bytes(&r);
	g->policy = smq_cbor_get_bytes(&r);
	g->admin = smq_cbor_get_bytes(&r);
	get_path(&r, g);
	get_trees(&r, g);
	get_history(&r, g);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK && !grant_valid(g))
		err = SMQ_ERR_MALFORMED;
	if (err != SMQ_OK)
		smq_wipe(g, sizeof(*g));
	return err;
}

/* ---- fetch ---- */

static void put_all(struct smq_writer *w, const smq_span *items, size_t count)
{
	smq_cbor_put_array(w, count);
	for (size_t i = 0; i < count; i++)
		smq_cbor_put_bytes(w, items[i]);
}

static size_t get_all(struct smq_reader *r, smq_span *ret_items, size_t most)
{
	size_t count = smq_get_count(r, most);
	for (size_t i = 0; i < count; i++)
		ret_items[i] = smq_cbor_get_bytes(r);
	return count;
}

smq_err smq_ks_fetched_encode(const struct smq_ks_fetched *f, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (f->node_count > SMQ_KS_FETCH_NODES_MAX || f->card_count > SMQ_KS_FETCH_SENDERS_MAX)
		return SMQ_ERR_USAGE;
	smq_cbor_put_array(&w, FETCHED_FIELDS);
	smq_cbor_put_bytes(&w, f->manifest);
	smq_cbor_put_bytes(&w, f->policy);
	smq_cbor_put_bytes(&w, f->admin);
	put_all(&w, f->nodes, f->node_count);
	put_all(&w, f->cards, f->card_count);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_ks_fetched_decode(smq_span body, struct smq_ks_fetched *ret_fetched)
{
	struct smq_ks_fetched f;
	struct smq_reader r = smq_reader_on(body);
	if (smq_cbor_get_array(&r) != FETCHED_FIELDS)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	f.manifest = smq_cbor_get_bytes(&r);
	f.policy = smq_cbor_get_bytes(&r);
	f.admin = smq_cbor_get_bytes(&r);
	f.node_count = get_all(&r, f.nodes, SMQ_KS_FETCH_NODES_MAX);
	f.card_count = get_all(&r, f.cards, SMQ_KS_FETCH_SENDERS_MAX);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_fetched = f;
	return err;
}

/* ---- pages ---- */

static void put_page(struct smq_writer *w, uint64_t next, size_t count)
{
	smq_cbor_put_array(w, 2);
	if (next == SMQ_KS_NO_MORE)
		smq_cbor_put_null(w);
	else
		smq_cbor_put_uint(w, next);
	smq_cbor_put_array(w, count);
}

static size_t get_page(struct smq_reader *r, uint64_t *ret_next)
{
	if (smq_cbor_get_array(r) != 2)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	if (smq_cbor_peek(r) == SMQ_CBOR_NULL) {
		smq_cbor_get_null(r);
		*ret_next = SMQ_KS_NO_MORE;
	} else {
		*ret_next = smq_get_between(r, 0, SMQ_KS_NO_MORE - 1);
	}
	return smq_get_count(r, SMQ_KS_PAGE);
}

static smq_err end_page(struct smq_reader *r, size_t count, uint64_t next, size_t *ret_count, uint64_t *ret_next)
{
	smq_err err = smq_reader_end(r);
	if (err == SMQ_OK) {
		*ret_count = count;
		*ret_next = next;
	}
	return err;
}

static void put_group(struct smq_writer *w, const struct smq_ks_group_line *g)
{
	smq_cbor_put_text(w, g->group);
	smq_cbor_put_uint(w, g->mode);
	smq_cbor_put_uint(w, g->epoch);
	smq_cbor_put_uint(w, g->members);
}

static void get_group(struct smq_reader *r, struct smq_ks_group_line *g)
{
	*g = (struct smq_ks_group_line){ .group = smq_get_name(r) };
	g->mode = (enum smq_policy_mode)smq_get_between(r, 0, SMQ_MODE_SLOTTED);
	g->epoch = smq_cbor_get_uint(r);
	g->members = smq_cbor_get_uint(r);
}

smq_err smq_ks_list_encode(const struct smq_ks_group_line *lines, size_t count, uint64_t next, smq_mspan room,
			   size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (count > SMQ_KS_PAGE)
		return SMQ_ERR_USAGE;
	put_page(&w, next, count);
	for (size_t i = 0; i < count; i++) {
		smq_cbor_put_array(&w, 4);
		put_group(&w, &lines[i]);
	}
	return smq_writer_end(&w, ret_len);
}

smq_err smq_ks_list_decode(smq_span body, struct smq_ks_group_line ret_lines[SMQ_KS_PAGE], size_t *ret_count,
			   uint64_t *ret_next)
{
	uint64_t next = 0;
	struct smq_reader r = smq_reader_on(body);
	size_t count = get_page(&r, &next);
	for (size_t i = 0; i < count; i++) {
		if (smq_cbor_get_array(&r) != 4)
			smq_reader_fail(&r, SMQ_ERR_MALFORMED);
		get_group(&r, &ret_lines[i]);
	}
	return end_page(&r, count, next, ret_count, ret_next);
}

smq_err smq_ks_show_encode(const struct smq_ks_group_line *g, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, SHOW_FIELDS);
	put_group(&w, g);
	smq_cbor_put_uint(&w, g->height);
	smq_cbor_put_uint(&w, g->policy_number);
	smq_put_time(&w, g->activate_at_ms);
	smq_put_time(&w, g->expires_ms);
	smq_cbor_put_bytes(&w, g->policy);
	smq_cbor_put_bytes(&w, g->admin);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_ks_show_decode(smq_span body, struct smq_ks_group_line *ret_line)
{
	struct smq_ks_group_line g;
	struct smq_reader r = smq_reader_on(body);
	if (smq_cbor_get_array(&r) != SHOW_FIELDS)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	get_group(&r, &g);
	g.height = (unsigned)smq_get_between(&r, 0, SMQ_TREE_HEIGHT_MAX);
	g.policy_number = smq_cbor_get_uint(&r);
	g.activate_at_ms = smq_get_time(&r);
	g.expires_ms = smq_get_time(&r);
	g.policy = smq_cbor_get_bytes(&r);
	g.admin = smq_cbor_get_bytes(&r);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_line = g;
	return err;
}

smq_err smq_ks_members_encode(const struct smq_ks_member_line *lines, size_t count, uint64_t next, smq_mspan room,
			      size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (count > SMQ_KS_PAGE)
		return SMQ_ERR_USAGE;
	put_page(&w, next, count);
	for (size_t i = 0; i < count; i++) {
		smq_cbor_put_array(&w, 5);
		smq_cbor_put_text(&w, lines[i].name);
		smq_cbor_put_uint(&w, lines[i].sender_id);
		smq_cbor_put_uint(&w, lines[i].roles);
		smq_put_time(&w, lines[i].from_ms);
		smq_put_end(&w, lines[i].until_ms);
	}
	return smq_writer_end(&w, ret_len);
}

smq_err smq_ks_members_decode(smq_span body, struct smq_ks_member_line ret_lines[SMQ_KS_PAGE], size_t *ret_count,
			      uint64_t *ret_next)
{
	uint64_t next = 0;
	struct smq_reader r = smq_reader_on(body);
	size_t count = get_page(&r, &next);
	for (size_t i = 0; i < count; i++) {
		struct smq_ks_member_line *m = &ret_lines[i];
		if (smq_cbor_get_array(&r) != 5)
			smq_reader_fail(&r, SMQ_ERR_MALFORMED);
		m->name = smq_get_name(&r);
		m->sender_id = smq_cbor_get_uint(&r);
		m->roles = (unsigned)smq_get_between(&r, 1, ROLES_ALL | SMQ_KS_BY_KEY);
		m->from_ms = smq_get_time(&r);
		m->until_ms = smq_get_end(&r);
	}
	return end_page(&r, count, next, ret_count, ret_next);
}

smq_err smq_ks_registered_encode(const struct smq_ks_key_line *lines, size_t count, uint64_t next, smq_mspan room,
				 size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (count > SMQ_KS_PAGE)
		return SMQ_ERR_USAGE;
	put_page(&w, next, count);
	for (size_t i = 0; i < count; i++) {
		smq_cbor_put_array(&w, 3);
		smq_cbor_put_text(&w, lines[i].name);
		smq_cbor_put_bytes(&w, smq_span_of(lines[i].kid, sizeof(lines[i].kid)));
		smq_put_time(&w, lines[i].since_ms);
	}
	return smq_writer_end(&w, ret_len);
}

smq_err smq_ks_registered_decode(smq_span body, struct smq_ks_key_line ret_lines[SMQ_KS_PAGE], size_t *ret_count,
				 uint64_t *ret_next)
{
	uint64_t next = 0;
	struct smq_reader r = smq_reader_on(body);
	size_t count = get_page(&r, &next);
	for (size_t i = 0; i < count; i++) {
		struct smq_ks_key_line *k = &ret_lines[i];
		if (smq_cbor_get_array(&r) != 3)
			smq_reader_fail(&r, SMQ_ERR_MALFORMED);
		k->name = smq_get_name(&r);
		smq_get_fixed(&r, smq_mspan_of(k->kid, sizeof(k->kid)));
		k->since_ms = smq_get_time(&r);
	}
	return end_page(&r, count, next, ret_count, ret_next);
}

smq_err smq_ks_bad_keys_encode(const struct smq_ks_bad_key *bad, size_t count, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, count);
	for (size_t i = 0; i < count; i++) {
		smq_cbor_put_array(&w, 2);
		smq_cbor_put_uint(&w, bad[i].index);
		smq_cbor_put_text(&w, bad[i].text);
	}
	return smq_writer_end(&w, ret_len);
}

smq_err smq_ks_bad_keys_decode(smq_span body, struct smq_ks_bad_key ret_bad[SMQ_KS_KEYS_MAX], size_t *ret_count)
{
	struct smq_reader r = smq_reader_on(body);
	size_t count = smq_get_count(&r, SMQ_KS_KEYS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (smq_cbor_get_array(&r) != 2)
			smq_reader_fail(&r, SMQ_ERR_MALFORMED);
		ret_bad[i].index = smq_get_between(&r, 0, SMQ_KS_KEYS_MAX - 1);
		ret_bad[i].text = smq_cbor_get_text(&r);
	}
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_count = count;
	return err;
}
