/* Policies as people write them. */
#include "lib/policy_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "lib/files.h"

static const char *const modes[] = { "static", "update", "slotted" };
static const char *const proofs[] = { "none", "every", "checkpoint" };
static const struct {
	const char *word;
	unsigned role;
} roles[] = { { "member", SMQ_ROLE_MEMBER },
	      { "keyserver", SMQ_ROLE_KEYSERVER },
	      { "admin", SMQ_ROLE_ADMIN },
	      { "broker", SMQ_ROLE_BROKER },
	      { "any", 0 } };

enum {
	SLOT_MS = 10000,
	CHECKPOINT_MESSAGES = 32,
	CHECKPOINT_S = 2,
	BATCH_MS = 100,
	ACTIVATION_MS = 200,
	GRACE_MS = 10000,
	VALIDITY_S = 86400,
	MEMBERS_MAX = 100000
};

const char *smq_policy_mode_name(enum smq_policy_mode mode) { return (unsigned)mode < 3 ? modes[mode] : "unknown"; }

/* ---- from text ---- */

/* The word's place in the list; the first where there is none, -1 where it is not in it. */
static int place_of(const char *word, const char *const words[], int count)
{
	if (!word)
		return 0;
	for (int i = 0; i < count; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -1;
}

static uint64_t or_else(uint64_t value, uint64_t otherwise) { return value ? value : otherwise; }

/* "PATTERN" for members, "role:PATTERN" for others. */
static bool read_rule(const char *text, struct smq_policy_rule *ret_rule)
{
	const char *colon = strchr(text, ':');
	unsigned role = SMQ_ROLE_MEMBER;
	bool known = !colon;
	for (size_t i = 0; colon && i < SMQ_COUNT(roles); i++) {
		if (strncmp(roles[i].word, text, (size_t)(colon - text)) == 0 && !roles[i].word[colon - text]) {
			role = roles[i].role;
			known = true;
		}
	}
	*ret_rule = (struct smq_policy_rule){ smq_span_str(colon ? colon + 1 : text), role };
	return known;
}

static smq_err read_rules(const char *const *texts, size_t count, const char *what,
			  struct smq_policy_rule ret_rules[SMQ_POLICY_RULES_MAX], char *ret_why, size_t why_len)
{
	if (count > SMQ_POLICY_RULES_MAX)
		return smq_because(SMQ_ERR_FULL, ret_why, why_len, "at most %d rules for %s", SMQ_POLICY_RULES_MAX,
				   what);
	for (size_t i = 0; i < count; i++) {
		if (!read_rule(texts[i], &ret_rules[i]))
			return smq_because(SMQ_ERR_USAGE, ret_why, why_len,
					   "%s: no rule for %s: PATTERN, or member:, keyserver:, admin:, any: PATTERN",
					   texts[i], what);
	}
	return SMQ_OK;
}

/* "WHO=WHOM", WHO as a rule. The left side is kept in room. */
static bool read_commander(const char *text, char room[128], struct smq_policy_commander *ret_commander)
{
	const char *is = strchr(text, '=');
	if (!is || is - text >= 128 || !is[1])
		return false;
	memcpy(room, text, (size_t)(is - text));
	room[is - text] = 0;
	ret_commander->whom = smq_span_str(is + 1);
	if (!read_rule(room, &ret_commander->who))
		return false;
	/* the pattern stands in the caller's text, which outlives us */
	size_t at = (size_t)((const char *)ret_commander->who.pattern.p - room);
	ret_commander->who.pattern.p = (const uint8_t *)text + at;
	return true;
}

static smq_err read_commanders(const struct smq_group_policy *p, struct smq_policy *out, char *ret_why, size_t why_len)
{
	char room[128];
	if (p->commander_count > SMQ_POLICY_COMMANDERS_MAX)
		return smq_because(SMQ_ERR_FULL, ret_why, why_len, "at most %d rules for commands",
				   SMQ_POLICY_COMMANDERS_MAX);
	for (size_t i = 0; i < p->commander_count; i++) {
		if (!read_commander(p->commanders[i], room, &out->commanders[i]))
			return smq_because(SMQ_ERR_USAGE, ret_why, why_len,
					   "%s: no rule for commands: WHO=WHOM, patterns of names, WHO also with "
					   "keyserver:, admin:, any: before it",
					   p->commanders[i]);
		out->commander_count = i + 1;
	}
	return SMQ_OK;
}

static smq_err read_history(const char *text, struct smq_policy *p, char *ret_why, size_t why_len)
{
	char *end;
	if (!text || strcmp(text, "none") == 0)
		return SMQ_OK;
	if (strcmp(text, "join") == 0) {
		p->history = SMQ_HISTORY_JOIN;
		return SMQ_OK;
	}
	unsigned long epochs = strtoul(text, &end, 10);
	if (*text < '1' || *text > '9' || *end || epochs > SMQ_POLICY_HISTORY_MAX)
		return smq_because(SMQ_ERR_USAGE, ret_why, why_len,
				   "%s: no history: none, join, or a number of epochs up to %d", text,
				   SMQ_POLICY_HISTORY_MAX);
	p->history = SMQ_HISTORY_LAST;
	p->history_epochs = epochs;
	return SMQ_OK;
}

static smq_err read_words(const struct smq_group_policy *p, struct smq_policy *out, char *ret_why, size_t why_len)
{
	int mode = place_of(p->mode, modes, 3), proof = place_of(p->proof, proofs, 3);
	if (mode < 0)
		return smq_because(SMQ_ERR_USAGE, ret_why, why_len, "%s: no mode: static, update or slotted", p->mode);
	if (proof < 0)
		return smq_because(SMQ_ERR_USAGE, ret_why, why_len, "%s: no proof: none, every or checkpoint",
				   p->proof);
	out->alg = smq_aead_alg_by_name(p->algorithm ? p->algorithm : "A128GCM");
	if (!out->alg || out->alg->message_limit == 1)
		return smq_because(SMQ_ERR_ALGORITHM, ret_why, why_len,
				   "%s: no algorithm: A128GCM, A256GCM or ChaCha20-Poly1305", p->algorithm);
	out->mode = (enum smq_policy_mode)mode;
	out->proof = (enum smq_policy_proof)proof;
	if (out->proof == SMQ_PROOF_CHECKPOINT) {
		out->proof_messages = or_else(p->proof_messages, CHECKPOINT_MESSAGES);
		out->proof_s = or_else(p->proof_s, CHECKPOINT_S);
	}
	if (out->mode == SMQ_MODE_SLOTTED) {
		out->slot_ms = or_else(p->slot_ms, SLOT_MS);
		out->slot_levels = p->slot_levels ? p->slot_levels : 16;
	}
	return read_history(p->history, out, ret_why, why_len);
}

smq_err smq_policy_from_text(const struct smq_group_policy *p, const char *realm, uint64_t number, int64_t now_ms,
			     struct smq_policy *ret_policy, char *ret_why, size_t why_len)
{
	struct smq_policy out = { .realm = smq_span_str(realm),
				  .group = smq_span_str(p->group),
				  .number = number,
				  .is_template = p->is_template,
				  .filter_count = p->filter_count,
				  .rotate_s = p->rotate_s,
				  .publisher_count = p->publisher_count,
				  .subscriber_count = p->subscriber_count,
				  .batch_ms = or_else(p->batch_ms, BATCH_MS),
				  .activation_ms = or_else(p->activation_ms, ACTIVATION_MS),
				  .grace_ms = or_else(p->grace_ms, GRACE_MS),
				  .validity_s = or_else(p->validity_s, VALIDITY_S),
				  .lease_s = p->lease_s,
				  .members_max = or_else(p->members_max, MEMBERS_MAX),
				  .issued_s = (uint64_t)(now_ms / 1000) };
	if (p->filter_count < 1 || p->filter_count > SMQ_POLICY_FILTERS_MAX)
		return smq_because(SMQ_ERR_USAGE, ret_why, why_len, "a group is for 1 to %d topic filters",
				   SMQ_POLICY_FILTERS_MAX);
	for (size_t i = 0; i < p->filter_count; i++)
		out.filters[i] = smq_span_str(p->filters[i]);
	smq_err err = read_words(p, &out, ret_why, why_len);
	if (err == SMQ_OK)
		err = read_rules(p->publishers, p->publisher_count, "publishers", out.publishers, ret_why, why_len);
	if (err == SMQ_OK)
		err = read_rules(p->subscribers, p->subscriber_count, "subscribers", out.subscribers, ret_why, why_len);
	if (err == SMQ_OK)
		err = read_commanders(p, &out, ret_why, why_len);
	if (err == SMQ_OK)
		*ret_policy = out;
	return err;
}

/* ---- to text ---- */

static void copy(smq_span from, char *to, size_t room)
{
	snprintf(to, room, "%.*s", (int)from.len, from.len ? (const char *)from.p : "");
}

static void write_rule(const struct smq_policy_rule *rule, char *to, size_t room)
{
	const char *word = "some";
	for (size_t i = 0; i < SMQ_COUNT(roles); i++) {
		if (roles[i].role == rule->roles)
			word = roles[i].word;
	}
	bool plain = rule->roles == SMQ_ROLE_MEMBER;
	snprintf(to, room, "%s%s%.*s", plain ? "" : word, plain ? "" : ":", (int)rule->pattern.len,
		 (const char *)rule->pattern.p);
}

static const char *const *write_rules(const struct smq_policy_rule *rules, size_t count,
				      struct smq_policy_strings *room, int which)
{
	for (size_t i = 0; i < count; i++) {
		write_rule(&rules[i], room->rule_text[which][i], sizeof(room->rule_text[which][i]));
		room->rules[which][i] = room->rule_text[which][i];
	}
	return room->rules[which];
}

static const char *const *write_commanders(const struct smq_policy *p, struct smq_policy_strings *room)
{
	for (size_t i = 0; i < p->commander_count; i++) {
		char *text = room->commander_text[i];
		write_rule(&p->commanders[i].who, text, sizeof(room->commander_text[i]));
		size_t len = strlen(text);
		snprintf(text + len, sizeof(room->commander_text[i]) - len, "=%.*s", (int)p->commanders[i].whom.len,
			 (const char *)p->commanders[i].whom.p);
		room->commanders[i] = text;
	}
	return room->commanders;
}

void smq_policy_to_text(const struct smq_policy *p, struct smq_policy_strings *room,
			struct smq_group_policy *ret_policy)
{
	copy(p->group, room->group, sizeof(room->group));
	for (size_t i = 0; i < p->filter_count; i++) {
		copy(p->filters[i], room->filter_text[i], sizeof(room->filter_text[i]));
		room->filters[i] = room->filter_text[i];
	}
	snprintf(room->history, sizeof(room->history), "%s", p->history == SMQ_HISTORY_JOIN ? "join" : "none");
	if (p->history == SMQ_HISTORY_LAST)
		snprintf(room->history, sizeof(room->history), "%llu", (unsigned long long)p->history_epochs);
	*ret_policy =
	    (struct smq_group_policy){ .group = room->group,
				       .number = p->number,
				       .is_template = p->is_template,
				       .filters = room->filters,
				       .filter_count = p->filter_count,
				       .mode = modes[p->mode],
				       .rotate_s = p->rotate_s,
				       .slot_ms = p->slot_ms,
				       .slot_levels = p->slot_levels,
				       .algorithm = p->alg->name,
				       .proof = proofs[p->proof],
				       .proof_messages = p->proof_messages,
				       .proof_s = p->proof_s,
				       .publishers = write_rules(p->publishers, p->publisher_count, room, 0),
				       .publisher_count = p->publisher_count,
				       .subscribers = write_rules(p->subscribers, p->subscriber_count, room, 1),
				       .subscriber_count = p->subscriber_count,
				       .commanders = write_commanders(p, room),
				       .commander_count = p->commander_count,
				       .batch_ms = p->batch_ms,
				       .activation_ms = p->activation_ms,
				       .grace_ms = p->grace_ms,
				       .validity_s = p->validity_s,
				       .lease_s = p->lease_s,
				       .history = room->history,
				       .members_max = p->members_max };
}
