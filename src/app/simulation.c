/*
 * Rekeying simulated: a key server's group, a sample of its members that really follow, and a retained store between.
 *
 * Every follower is checked against the server's key after each epoch: a number from a run that lost somebody would be
 * worth nothing.
 */
#include "app/simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/prng.h"
#include "core/keygroup.h"
#include "core/manifest_chain.h"

enum { ROUNDS_DEFAULT = 20, FOLLOWED_DEFAULT = 200, MEMBERS_MIN = 100, SLEEPER_EPOCHS = 40, UNICAST_BYTES = 70 };

/* A node message as the broker retains it. */
struct retained {
	struct smq_tree_node_message message;
	uint32_t bytes;
	bool fresh; /* published with the present epoch */
};

struct follower {
	uint64_t number; /* its name is "m<number>" */
	struct smq_keypath path;
	struct smq_manifest_chain chain;
};

struct simulation {
	const struct smq_simulation_world *world;
	struct smq_simulation_options o;
	struct smq_tree_scope scope;
	struct smq_random random;
	struct smq_prng prng;
	void *memory;
	smq_keygroup *group;
	unsigned height;
	struct retained **retained[SMQ_TREE_HEIGHT_MAX + 1]; /* by height and index; NULL: nothing there */
	struct retained **fresh;
	size_t fresh_count, fresh_room;
	struct follower *followers;
	uint64_t follower_count;
	uint64_t next_number;
	uint8_t *gone; /* by number */
	struct smq_epoch_keys keys;
	struct smq_manifest_chain chain; /* the server's own */
	uint8_t manifest[SMQ_MANIFEST_MAX + SMQ_SIGN1_OVERHEAD_MAX];
	size_t manifest_len;
	struct smq_simulation *out;
};

/* ---- the world around ---- */

static smq_err fill_seeded(void *self, smq_mspan room)
{
	struct smq_prng *prng = self;
	for (size_t i = 0; i < room.len; i++)
		room.p[i] = (uint8_t)(smq_prng_next(prng) >> 56);
	return SMQ_OK;
}

static void report(const struct simulation *s, const char *what, uint64_t done, uint64_t of)
{
	if (s->world->progress && (done % 64 == 0 || done == of))
		s->world->progress(s->world->self, what, of ? (double)done / (double)of : 1);
}

static smq_err note_fresh(struct simulation *s, struct retained *r)
{
	if (s->fresh_count == s->fresh_room) {
		size_t room = s->fresh_room ? 2 * s->fresh_room : 64;
		struct retained **more = realloc(s->fresh, room * sizeof(struct retained *));
		if (!more)
			return SMQ_ERR_NO_MEMORY;
		s->fresh = more;
		s->fresh_room = room;
	}
	s->fresh[s->fresh_count++] = r;
	return SMQ_OK;
}

/* What the key server publishes replaces what the broker retains. */
static smq_err publish(void *self, const struct smq_tree_node_message *m)
{
	struct simulation *s = self;
	uint8_t bytes[SMQ_TREE_NODE_MAX];
	size_t len = 0;
	struct retained **place = &s->retained[m->height][m->index];
	smq_err err = smq_tree_node_encode(m, smq_mspan_of(bytes, sizeof(bytes)), &len);
	if (err != SMQ_OK)
		return err;
	if (!*place && !(*place = calloc(1, sizeof(struct retained))))
		return SMQ_ERR_NO_MEMORY;
	(*place)->message = *m;
	(*place)->bytes = (uint32_t)len;
	(*place)->fresh = true;
	return note_fresh(s, *place);
}

/* ---- the key server's side ---- */

static void name_of(uint64_t number, char ret_name[24]) { snprintf(ret_name, 24, "m%llu", (unsigned long long)number); }

static smq_err join(struct simulation *s, uint64_t *ret_number)
{
	char name[24];
	bool pending;
	uint64_t number = s->next_number++;
	name_of(number, name);
	struct smq_join j = { smq_span_str(name), SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE, 0, SMQ_NO_END, { 1 } };
	*ret_number = number;
	return smq_keygroup_join(s->group, &j, &pending);
}

/* Somebody who is there and is not followed leaves. */
static smq_err leave_somebody(struct simulation *s)
{
	char name[24];
	bool moves, followed;
	uint64_t number;
	do {
		number = smq_prng_next(&s->prng) % s->next_number;
		followed = false;
		for (uint64_t i = 0; i < s->follower_count; i++)
			followed = followed || s->followers[i].number == number;
	} while (s->gone[number] || followed);
	s->gone[number] = 1;
	name_of(number, name);
	return smq_keygroup_leave(s->group, smq_span_str(name), true, &moves);
}

/* The epoch's manifest: what every member is sent, and what its one signature is for. */
static smq_err state_epoch(struct simulation *s)
{
	uint8_t document[SMQ_MANIFEST_MAX];
	size_t len = 0;
	struct smq_manifest m = {
		.realm = s->scope.realm,
		.group = s->scope.group,
		.epoch = s->keys.epoch,
		.previous_epoch = s->chain.epoch,
		.activate_at_ms = 1,
		.expires_ms = INT64_MAX,
		.tree_height = s->keys.height,
		.member_count = smq_keygroup_member_count(s->group),
		.root_version = s->keys.root_version,
		.policy_number = 1,
		.mode = SMQ_MODE_UPDATE,
	};
	memcpy(m.previous, s->chain.hash, sizeof(m.previous));
	memcpy(m.commitment, s->keys.commitment, sizeof(m.commitment));
	smq_err err = smq_manifest_encode(&m, smq_mspan_of(document, sizeof(document)), &len);
	if (err == SMQ_OK)
		err = smq_manifest_hash(s->world->crypto, smq_span_of(document, len), s->chain.hash);
	s->chain.epoch = m.epoch;
	if (err == SMQ_OK)
		err = smq_manifest_sign(smq_span_of(document, len), s->world->own,
					smq_mspan_of(s->manifest, sizeof(s->manifest)), &s->manifest_len);
	return err;
}

/* An epoch, and the processor time that it took on top of *ns. */
static smq_err commit(struct simulation *s, uint64_t *ns)
{
	struct smq_keygroup_member changed;
	for (size_t i = 0; i < s->fresh_count; i++)
		s->fresh[i]->fresh = false;
	s->fresh_count = 0;
	uint64_t start = s->world->cpu_ns();
	smq_err err = smq_keygroup_commit(s->group, smq_keygroup_epoch(s->group) + 1, s, publish, &s->keys);
	if (err == SMQ_OK)
		err = state_epoch(s);
	*ns += s->world->cpu_ns() - start;
	while (smq_keygroup_next_changed(s->group, &changed))
		; /* a store would have taken them here */
	return err;
}

/* ---- the members' side ---- */

static smq_err welcome(struct simulation *s, struct follower *f)
{
	char name[24];
	struct smq_grant grant;
	name_of(f->number, name);
	smq_err err = smq_keygroup_grant(s->group, smq_span_str(name), &grant);
	if (err != SMQ_OK)
		return err;
	f->path = (struct smq_keypath){
		.scope = &s->scope, .leaf = grant.leaf, .height = grant.height, .epoch = grant.epoch
	};
	memcpy(f->path.nodes, grant.path, sizeof(grant.path));
	return SMQ_OK;
}

struct delivery {
	uint64_t messages, bytes, ns;
};

/* What a member does when an epoch's manifest and the nodes of its path have come. */
static smq_err take_epoch(const struct simulation *s, struct follower *f,
			  const struct smq_tree_node_message *const messages[SMQ_TREE_HEIGHT_MAX],
			  struct smq_tree_key *ret_secret)
{
	struct smq_manifest_step step;
	smq_err err = smq_manifest_chain_input(&f->chain, s->world->crypto, smq_span_of(s->manifest, s->manifest_len),
					       s->world->server, s->scope.realm, s->scope.group, 1, &step);
	if (err == SMQ_OK && !smq_manifest_is_accepted(step.verdict))
		err = SMQ_ERR_BUG;
	if (err == SMQ_OK)
		err = smq_keypath_follow(&f->path, step.manifest.epoch, messages, step.manifest.root_version,
					 step.manifest.commitment, ret_secret);
	if (err == SMQ_OK)
		f->chain = step.next;
	return err;
}

/* A member takes the manifest and what lies on its path: the whole path after a sleep, else what the present epoch
 * brought. */
static smq_err follow(struct simulation *s, struct follower *f, bool slept, struct delivery *ret_delivery)
{
	const struct smq_tree_node_message *messages[SMQ_TREE_HEIGHT_MAX] = { NULL };
	struct smq_tree_key secret;
	struct delivery d = { 1, s->manifest_len, 0 };
	for (unsigned h = 1; h <= s->height; h++) {
		const struct retained *r = s->retained[h][smq_keypath_index(&f->path, h)];
		if (!r || !(slept || r->fresh))
			continue;
		messages[h - 1] = &r->message;
		d.messages++;
		d.bytes += r->bytes;
	}
	uint64_t start = s->world->cpu_ns();
	smq_err err = take_epoch(s, f, messages, &secret);
	d.ns = s->world->cpu_ns() - start;
	if (err == SMQ_OK && memcmp(secret.b, s->keys.secret.b, sizeof(secret.b)) != 0)
		err = SMQ_ERR_BUG;
	*ret_delivery = d;
	return err == SMQ_OK ? SMQ_OK : SMQ_ERR_BUG;
}

/* ---- counting ---- */

static struct smq_simulation_row *new_row(struct simulation *s, const char *operation)
{
	struct smq_simulation_row *row = &s->out->rows[s->out->row_count++];
	*row = (struct smq_simulation_row){ .operation = operation };
	return row;
}

static void count_round(const struct simulation *s, struct smq_simulation_row *row, uint64_t server_ns)
{
	row->rounds++;
	row->server_us += (double)server_ns / 1000;
	row->messages += 1 + (double)s->fresh_count;
	row->bytes += (double)s->manifest_len;
	for (size_t i = 0; i < s->fresh_count; i++) {
		row->bytes += s->fresh[i]->bytes;
		for (size_t c = 0; c < SMQ_TREE_ARITY; c++)
			row->wraps += s->fresh[i]->message.wraps[c].there;
	}
}

static void count_delivery(struct smq_simulation_row *row, const struct delivery *d, double share)
{
	row->member_messages += (double)d->messages * share;
	row->member_bytes += (double)d->bytes * share;
	row->member_us += (double)d->ns / 1000 * share;
	if (d->messages > row->member_messages_max)
		row->member_messages_max = d->messages;
	if (d->bytes > row->member_bytes_max)
		row->member_bytes_max = d->bytes;
}

static smq_err everybody_follows(struct simulation *s, struct smq_simulation_row *row, bool slept)
{
	for (uint64_t i = 0; i < s->follower_count; i++) {
		struct delivery d;
		smq_err err = follow(s, &s->followers[i], slept, &d);
		if (err != SMQ_OK)
			return err;
		if (row)
			count_delivery(row, &d, 1 / (double)s->follower_count);
	}
	return SMQ_OK;
}

static void close_row(struct smq_simulation_row *row)
{
	double n = row->rounds ? (double)row->rounds : 1;
	row->messages /= n;
	row->bytes /= n;
	row->wraps /= n;
	row->server_us /= n;
	row->member_messages /= n;
	row->member_bytes /= n;
	row->member_us /= n;
}

/* ---- the operations ---- */

static smq_err prepare_leave(struct simulation *s) { return leave_somebody(s); }

static smq_err prepare_join(struct simulation *s)
{
	uint64_t number;
	return join(s, &number);
}

static smq_err prepare_rotation(struct simulation *s)
{
	smq_keygroup_rotate(s->group);
	return SMQ_OK;
}

static smq_err prepare_batch(struct simulation *s)
{
	for (uint64_t i = 0; i < s->o.batch; i++) {
		smq_err err = leave_somebody(s);
		if (err != SMQ_OK)
			return err;
	}
	return SMQ_OK;
}

static smq_err measure(struct simulation *s, const char *operation, uint64_t rounds,
		       smq_err (*prepare)(struct simulation *s))
{
	struct smq_simulation_row *row = new_row(s, operation);
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t ns = 0;
		uint64_t start = s->world->cpu_ns();
		smq_err err = prepare(s);
		ns = s->world->cpu_ns() - start;
		if (err == SMQ_OK)
			err = commit(s, &ns);
		if (err != SMQ_OK)
			return err;
		count_round(s, row, ns);
		err = everybody_follows(s, row, false);
		if (err != SMQ_OK)
			return err;
		report(s, operation, i + 1, rounds);
	}
	close_row(row);
	return SMQ_OK;
}

/* Some epochs pass; then everybody wakes at once and has only what is retained. */
static smq_err measure_sleepers(struct simulation *s)
{
	struct smq_simulation_row *row = new_row(s, "sleeper");
	uint64_t ns = 0;
	for (uint64_t i = 0; i < SLEEPER_EPOCHS; i++) {
		smq_err err = i % 5 == 0 ? prepare_join(s) : leave_somebody(s);
		if (err == SMQ_OK)
			err = commit(s, &ns);
		if (err != SMQ_OK)
			return err;
		report(s, "sleeper", i + 1, SLEEPER_EPOCHS);
	}
	row->rounds = 1;
	smq_err err = everybody_follows(s, row, true);
	close_row(row);
	return err;
}

/* ---- life ---- */

static smq_err populate(struct simulation *s)
{
	uint64_t ns = 0;
	uint64_t every = s->o.members / s->follower_count;
	for (uint64_t i = 0; i < s->o.members; i++) {
		uint64_t number;
		smq_err err = join(s, &number);
		if (err != SMQ_OK)
			return err;
		if (i % every == 0 && i / every < s->follower_count)
			s->followers[i / every].number = number;
		report(s, "members", i + 1, s->o.members);
	}
	smq_err err = commit(s, &ns);
	for (uint64_t i = 0; i < s->follower_count && err == SMQ_OK; i++)
		err = welcome(s, &s->followers[i]);
	return err;
}

static smq_err allocate(struct simulation *s)
{
	uint64_t most = s->o.members + s->o.rounds + 64;
	struct smq_keygroup_config config = { &s->scope, SMQ_MODE_UPDATE, most, 0, 1 };
	size_t size = smq_keygroup_size(&config);
	s->memory = size ? malloc(size) : NULL;
	s->followers = calloc(s->follower_count, sizeof(*s->followers));
	s->gone = calloc(most, 1);
	if (!s->memory || !s->followers || !s->gone)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = smq_keygroup_init(s->memory, size, &config, &s->group);
	if (err != SMQ_OK)
		return err;
	s->height = smq_keytree_height(smq_keygroup_tree(s->group));
	s->out->height = s->height;
	s->out->server_memory = size;
	s->out->member_memory = sizeof(struct smq_keypath);
	s->out->unicast_bytes = s->o.members * UNICAST_BYTES;
	for (unsigned h = 1; h <= s->height; h++) {
		s->retained[h] = calloc(UINT64_C(1) << (2 * (s->height - h)), sizeof(struct retained *));
		if (!s->retained[h])
			return SMQ_ERR_NO_MEMORY;
	}
	return SMQ_OK;
}

static void release(struct simulation *s)
{
	for (unsigned h = 1; h <= s->height; h++) {
		uint64_t width = UINT64_C(1) << (2 * (s->height - h));
		for (uint64_t i = 0; s->retained[h] && i < width; i++)
			free(s->retained[h][i]);
		free(s->retained[h]);
	}
	if (s->group)
		smq_keygroup_done(s->group);
	free(s->memory);
	free(s->followers);
	free(s->fresh);
	free(s->gone);
}

static smq_err run(struct simulation *s)
{
	smq_err err = allocate(s);
	if (err == SMQ_OK)
		err = populate(s);
	if (err == SMQ_OK)
		err = measure(s, "leave", s->o.rounds, prepare_leave);
	if (err == SMQ_OK)
		err = measure(s, "join", s->o.rounds, prepare_join);
	if (err == SMQ_OK)
		err = measure(s, "rotation", s->o.rounds, prepare_rotation);
	if (err == SMQ_OK)
		err = measure_sleepers(s);
	return err == SMQ_OK ? measure(s, "batch of leaves", 1, prepare_batch) : err;
}

static smq_err complete(const struct smq_simulation_options *o, struct smq_simulation_options *ret_complete)
{
	struct smq_simulation_options c = *o;
	if (c.members < MEMBERS_MIN || c.members > SMQ_SIMULATE_MEMBERS_MAX)
		return SMQ_ERR_USAGE;
	c.rounds = c.rounds ? c.rounds : ROUNDS_DEFAULT;
	c.rounds = c.rounds < c.members / 4 ? c.rounds : c.members / 4;
	c.batch = c.batch ? c.batch : c.members / 100 > 2 ? c.members / 100 : 2;
	c.followed = c.followed ? c.followed : FOLLOWED_DEFAULT;
	c.followed = c.followed < c.members / 4 ? c.followed : c.members / 4;
	/* Those who leave are others than those who are followed, and somebody stays. */
	*ret_complete = c;
	return c.batch + c.rounds + SLEEPER_EPOCHS + c.followed < c.members ? SMQ_OK : SMQ_ERR_USAGE;
}

smq_err smq_simulation_run(const struct smq_simulation_options *options, const struct smq_simulation_world *world,
			   struct smq_simulation *ret_simulation)
{
	struct smq_simulation out = { .members = options->members };
	struct simulation s = { .world = world, .out = &out };
	smq_err err = complete(options, &s.o);
	if (err != SMQ_OK)
		return err;
	s.prng.state = s.o.seed;
	s.random = (struct smq_random){ &s.prng, fill_seeded };
	s.scope = (struct smq_tree_scope){ world->crypto, &s.random, smq_span_str("simulated"), smq_span_str("group") };
	s.follower_count = s.o.followed;
	err = run(&s);
	release(&s);
	if (err == SMQ_OK)
		*ret_simulation = out;
	return err;
}
