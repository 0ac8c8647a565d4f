/* The configuration object: values checked one by one, kept with their origin, the stronger origin winning. */
#include "app/settings.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "app/settings_table.h"
#include "base/table.h"
#include "base/text.h"
#include "base/wipe.h"

struct entry {
	enum smq_origin origin;
	char *from;
	char **items;
	size_t count;
	char *joined; /* items with commas between */
};

struct smq_config {
	struct smq_settings settings;
	struct entry *entries; /* one a row of the table */
	char *file;
	struct smq_config_lent lent;
};

/* A value in the form in which it is kept. */
struct parsed {
	int64_t number;
	double decimal;
	bool flag;
};

struct problem {
	char *text;
	size_t room;
};

char *smq_config_why(void)
{
	static _Thread_local char why[SMQ_CONFIG_WHY_MAX];
	return why;
}

const char *smq_origin_name(enum smq_origin origin)
{
	static const char *const names[] = { "default", "file", "environment", "command line" };
	return (size_t)origin < SMQ_COUNT(names) ? names[origin] : "";
}

/* ---- parsing one value ---- */

static smq_err wrong(const struct problem *p, const struct smq_config_key *key, const char *value, const char *want)
{
	char shown[96];
	(void)smq_escape(smq_span_str(key->secret ? "(secret)" : value), shown, sizeof(shown));
	(void)snprintf(p->text, p->room, "'%s' is not %s", shown, want);
	return SMQ_ERR_CONFIG;
}

smq_err smq_duration_parse(const char *text, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	int64_t whole = 0, thousandths = 0, place = 100;
	const char *p = text;
	if (strcmp(text, "0") == 0) {
		*ret_ms = 0;
		return SMQ_OK;
	}
	for (; *p >= '0' && *p <= '9'; p++) {
		if (whole > INT64_C(100000000000))
			return SMQ_ERR_MALFORMED;
		whole = whole * 10 + (*p - '0');
	}
	if (p == text)
		return SMQ_ERR_MALFORMED;
	if (*p == '.') {
		const char *digits = ++p;
		for (; *p >= '0' && *p <= '9'; p++, place /= 10)
			thousandths += (*p - '0') * place;
		if (p == digits || p - digits > 3)
			return SMQ_ERR_MALFORMED;
	}
	for (size_t i = 0; i < SMQ_COUNT(units); i++) {
		if (strcmp(p, units[i].unit) != 0)
			continue;
		if (thousandths * units[i].ms % 1000 != 0)
			return SMQ_ERR_MALFORMED;
		*ret_ms = whole * units[i].ms + thousandths * units[i].ms / 1000;
		return SMQ_OK;
	}
	return SMQ_ERR_MALFORMED;
}

static void duration_text(int64_t ms, char *ret_text, size_t room)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
	size_t i = 0;
	while (i + 1 < SMQ_COUNT(units) && (ms == 0 || ms % units[i].ms != 0))
		i++;
	(void)snprintf(ret_text, room, "%lld%s", (long long)(ms / units[i].ms), ms ? units[i].unit : "");
}

static smq_err parse_duration(const struct problem *p, const struct smq_config_key *key, const char *value,
			      struct parsed *ret_parsed)
{
	char low[32], high[32], want[160];
	int64_t ms;
	if (smq_duration_parse(value, &ms) != SMQ_OK)
		return wrong(p, key, value, "a duration; give a number and a unit: 250ms, 300s, 5m, 1h, 7d");
	if (ms < key->min || ms > key->max) {
		duration_text(key->min, low, sizeof(low));
		duration_text(key->max, high, sizeof(high));
		(void)snprintf(want, sizeof(want), "within its range; it may be from %s to %s", low, high);
		return wrong(p, key, value, want);
	}
	ret_parsed->number = ms;
	return SMQ_OK;
}

/* Whether the word is one of `words`; the case of letters does not matter. Returns its proper form in ret_word. */
static bool find_word(const char *words, const char *word, char *ret_word, size_t room)
{
	size_t len = strlen(word);
	for (const char *w = words; w && *w; w += strspn(w, " ")) {
		size_t n = strcspn(w, " ");
		if (n == len && len > 0 && strncasecmp(w, word, n) == 0 && n < room) {
			memcpy(ret_word, w, n);
			ret_word[n] = 0;
			return true;
		}
		w += n;
	}
	return false;
}

static smq_err wrong_word(const struct problem *p, const struct smq_config_key *key, const char *value)
{
	char want[200];
	size_t n = (size_t)snprintf(want, sizeof(want), "one of: ");
	for (const char *w = key->words; *w && n + 2 < sizeof(want); w++)
		n += (size_t)snprintf(want + n, sizeof(want) - n, *w == ' ' ? ", " : "%c", *w);
	return wrong(p, key, value, want);
}

static smq_err parse_number(const struct problem *p, const struct smq_config_key *key, const char *value,
			    struct parsed *ret_parsed)
{
	char want[120], word[32];
	char *end;
	errno = 0;
	long long n = strtoll(value, &end, 10);
	bool digits = *value && strspn(value + (*value == '-'), "0123456789") == strlen(value + (*value == '-'));
	if (key->words && !find_word(key->words, value, word, sizeof(word)))
		return wrong_word(p, key, value);
	if (!digits || end == value || *end || errno == ERANGE || n < key->min || n > key->max) {
		if (key->max == INT64_MAX)
			(void)snprintf(want, sizeof(want), "a whole number from %lld up", (long long)key->min);
		else
			(void)snprintf(want, sizeof(want), "a whole number from %lld to %lld", (long long)key->min,
				       (long long)key->max);
		return wrong(p, key, value, want);
	}
	ret_parsed->number = n;
	return SMQ_OK;
}

static smq_err parse_decimal(const struct problem *p, const struct smq_config_key *key, const char *value,
			     struct parsed *ret_parsed)
{
	char want[120];
	double number = 0;
	bool ok = smq_json_is_number(smq_span_str(value));
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a point is a point in every locale */
	if (c) {
		number = strtod_l(value, NULL, c);
		freelocale(c);
	}
	if (!c || !ok || !(number > (double)key->min && number <= (double)key->max)) {
		(void)snprintf(want, sizeof(want), "a number above %lld and up to %lld, such as %s",
			       (long long)key->min, (long long)key->max, key->example);
		return wrong(p, key, value, want);
	}
	ret_parsed->decimal = number;
	return SMQ_OK;
}

static smq_err parse_flag(const struct problem *p, const struct smq_config_key *key, const char *value,
			  struct parsed *ret_parsed)
{
	char word[8];
	if (find_word("true yes on", value, word, sizeof(word)))
		ret_parsed->flag = true;
	else if (find_word("false no off", value, word, sizeof(word)))
		ret_parsed->flag = false;
	else
		return wrong(p, key, value, "a switch; give true or false");
	return SMQ_OK;
}

static bool printable(const char *value)
{
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			return false;
	}
	return smq_utf8_valid(smq_span_str(value));
}

static bool spec_fits(const char *value)
{
	char word[16];
	return (strncmp(value, "csv:", 4) == 0 && value[4]) ||
	       find_word("fridge vitals energy", value, word, sizeof(word));
}

/* One item of a list, or a scalar. */
static smq_err check_text(const struct problem *p, const struct smq_config_key *key, const char *value)
{
	char word[64];
	smq_span s = smq_span_str(value);
	if (!*value || !printable(value))
		return wrong(p, key, value, "printable text; to leave the key unset, remove it");
	switch (key->type) {
	case SMQ_CONFIG_NAME:
	case SMQ_CONFIG_NAMES:
		return smq_name_valid(s) ? SMQ_OK : wrong(p, key, value, "a name; use 1 to 64 of A-Z a-z 0-9 - _");
	case SMQ_CONFIG_TOPIC:
		return smq_topic_valid(s)
			   ? SMQ_OK
			   : wrong(p, key, value, "a topic to publish to; it may hold no '+' and no '#'");
	case SMQ_CONFIG_FILTERS:
		return smq_topic_filter_valid(s)
			   ? SMQ_OK
			   : wrong(p, key, value, "a topic filter; '+' stands for a whole level, '#' only at the end");
	case SMQ_CONFIG_WORD:
	case SMQ_CONFIG_WORDS:
		return find_word(key->words, value, word, sizeof(word)) ? SMQ_OK : wrong_word(p, key, value);
	case SMQ_CONFIG_SPEC:
		return spec_fits(value) ? SMQ_OK
					: wrong(p, key, value, "a source; there are csv:FILE, fridge, vitals, energy");
	default:
		return SMQ_OK;
	}
}

static smq_err parse_item(const struct problem *p, const struct smq_config_key *key, const char *value,
			  struct parsed *ret_parsed)
{
	switch (key->type) {
	case SMQ_CONFIG_FLAG:
		return parse_flag(p, key, value, ret_parsed);
	case SMQ_CONFIG_NUMBER:
		return parse_number(p, key, value, ret_parsed);
	case SMQ_CONFIG_DECIMAL:
		return parse_decimal(p, key, value, ret_parsed);
	case SMQ_CONFIG_DURATION:
		return parse_duration(p, key, value, ret_parsed);
	default:
		return check_text(p, key, value);
	}
}

/* ---- keeping it ---- */

static void wipe_text(char *text)
{
	if (text)
		smq_wipe(text, strlen(text));
	free(text);
}

static void entry_done(struct entry *e)
{
	for (size_t i = 0; i < e->count; i++)
		wipe_text(e->items[i]);
	free(e->items);
	wipe_text(e->joined);
	free(e->from);
	*e = (struct entry){ 0 };
}

static char *join(char *const *items, size_t count)
{
	size_t len = 1;
	for (size_t i = 0; i < count; i++)
		len += strlen(items[i]) + 1;
	char *text = calloc(len, 1);
	for (size_t i = 0, n = 0; text && i < count; i++)
		n += (size_t)snprintf(text + n, len - n, "%s%s", i ? "," : "", items[i]);
	return text;
}

/* Words are kept as the table spells them. */
static char *copy_item(const struct smq_config_key *key, const char *item)
{
	char word[64];
	bool is_word = key->type == SMQ_CONFIG_WORD || key->type == SMQ_CONFIG_WORDS;
	return strdup(is_word && find_word(key->words, item, word, sizeof(word)) ? word : item);
}

static smq_err entry_init(struct entry *e, const struct smq_config_key *key, const char *const *items, size_t count)
{
	e->items = calloc(count + 1, sizeof(*e->items));
	if (!e->items)
		return SMQ_ERR_NO_MEMORY;
	for (; e->count < count; e->count++) {
		e->items[e->count] = copy_item(key, items[e->count]);
		if (!e->items[e->count])
			return SMQ_ERR_NO_MEMORY;
	}
	e->joined = join(e->items, e->count);
	return e->joined ? SMQ_OK : SMQ_ERR_NO_MEMORY;
}

static void store(smq_config *config, size_t row, const struct parsed *parsed)
{
	const struct smq_settings_row *r = &smq_settings_rows[row];
	const struct entry *e = &config->entries[row];
	void *place = (char *)&config->settings + r->offset;
	struct smq_list list = { (const char *const *)e->items, e->count };
	switch (r->key.type) {
	case SMQ_CONFIG_FLAG:
		memcpy(place, &parsed->flag, sizeof(parsed->flag));
		break;
	case SMQ_CONFIG_NUMBER:
	case SMQ_CONFIG_DURATION:
		memcpy(place, &parsed->number, sizeof(parsed->number));
		break;
	case SMQ_CONFIG_DECIMAL:
		memcpy(place, &parsed->decimal, sizeof(parsed->decimal));
		break;
	case SMQ_CONFIG_TEXTS:
	case SMQ_CONFIG_NAMES:
	case SMQ_CONFIG_FILTERS:
	case SMQ_CONFIG_WORDS:
		memcpy(place, &list, sizeof(list));
		break;
	default:
		memcpy(place, &e->items[0], sizeof(e->items[0]));
		break;
	}
}

smq_err smq_config_take(smq_config *config, size_t row, const char *const *items, size_t count, enum smq_origin origin,
			const char *from, char *ret_problem, size_t room)
{
	const struct smq_config_key *key = &smq_settings_rows[row].key;
	struct entry *present = &config->entries[row];
	struct entry fresh = { .origin = origin };
	struct parsed parsed = { 0 };
	struct problem p = { ret_problem, room };
	smq_err err = SMQ_OK;
	if (!smq_settings_is_list(key->type) && count != 1)
		return SMQ_ERR_BUG;
	for (size_t i = 0; i < count && err == SMQ_OK; i++)
		err = parse_item(&p, key, items[i], &parsed);
	if (err != SMQ_OK || origin < present->origin)
		return err;
	err = entry_init(&fresh, key, items, count);
	fresh.from = strdup(from ? from : "");
	if (err == SMQ_OK && !fresh.from)
		err = SMQ_ERR_NO_MEMORY;
	if (err != SMQ_OK) {
		entry_done(&fresh);
		return err;
	}
	entry_done(present);
	*present = fresh;
	store(config, row, &parsed);
	return SMQ_OK;
}

/* A list outside YAML: commas between, blanks around dropped. */
enum { TEXT_ITEMS_MAX = 256 };
static smq_err take_text(smq_config *config, size_t row, const char *value, enum smq_origin origin, const char *from,
			 char *ret_problem, size_t room)
{
	const char *items[TEXT_ITEMS_MAX];
	size_t count = 0;
	if (!smq_settings_is_list(smq_settings_rows[row].key.type))
		return smq_config_take(config, row, &value, 1, origin, from, ret_problem, room);
	char *copy = strdup(value), *rest = copy;
	if (!copy)
		return SMQ_ERR_NO_MEMORY;
	for (char *item; (item = strsep(&rest, ",")) && count < TEXT_ITEMS_MAX;) {
		item += strspn(item, " ");
		size_t len = strlen(item);
		while (len > 0 && item[len - 1] == ' ')
			item[--len] = 0;
		items[count++] = item;
	}
	smq_err err = SMQ_ERR_CONFIG;
	if (rest)
		(void)snprintf(ret_problem, room, "has more than %d items", TEXT_ITEMS_MAX);
	else
		err = smq_config_take(config, row, items, count, origin, from, ret_problem, room);
	free(copy);
	return err;
}

static smq_err say(smq_err err, const char **ret_why)
{
	if (ret_why && err != SMQ_OK)
		*ret_why = smq_config_why();
	return err;
}

static smq_err unknown_key(const char *key, const char **ret_why)
{
	char shown[100], hint[320];
	(void)smq_escape(smq_span_str(key), shown, sizeof(shown));
	smq_settings_suggest(key, hint, sizeof(hint));
	(void)snprintf(smq_config_why(), SMQ_CONFIG_WHY_MAX, "there is no key '%s'; %s", shown, hint);
	return say(SMQ_ERR_CONFIG, ret_why);
}

smq_err smq_config_set(smq_config *config, const char *key, const char *value, enum smq_origin origin, const char *from,
		       const char **ret_why)
{
	char problem[512] = "out of memory", shown[100];
	size_t row = smq_settings_find(key);
	if (row == SIZE_MAX)
		return unknown_key(key, ret_why);
	smq_err err = take_text(config, row, value, origin, from, problem, sizeof(problem));
	if (err == SMQ_OK)
		return SMQ_OK;
	(void)smq_escape(smq_span_str(from ? from : ""), shown, sizeof(shown));
	(void)snprintf(smq_config_why(), SMQ_CONFIG_WHY_MAX, "%s%skey '%s': %s", shown, *shown ? ": " : "", key,
		       problem);
	return say(err, ret_why);
}

static smq_err set_defaults(smq_config *config, const char **ret_why)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < smq_settings_row_count && err == SMQ_OK; i++) {
		const struct smq_config_key *key = &smq_settings_rows[i].key;
		if (key->preset)
			err = smq_config_set(config, key->name, key->preset, SMQ_ORIGIN_DEFAULT, "", ret_why);
	}
	return err;
}

smq_err smq_config_new(smq_config **ret_config, const char **ret_why)
{
	smq_config *c = calloc(1, sizeof(*c));
	(void)snprintf(smq_config_why(), SMQ_CONFIG_WHY_MAX, "%s", smq_err_text(SMQ_ERR_NO_MEMORY));
	if (c)
		c->entries = calloc(smq_settings_row_count, sizeof(*c->entries));
	if (!c || !c->entries) {
		free(c);
		return say(SMQ_ERR_NO_MEMORY, ret_why);
	}
	smq_err err = set_defaults(c, ret_why);
	if (err != SMQ_OK) {
		smq_config_free(c);
		return err;
	}
	*ret_config = c;
	return SMQ_OK;
}

void smq_config_free(smq_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < smq_settings_row_count; i++)
		entry_done(&config->entries[i]);
	free(config->entries);
	free(config->file);
	free(config->lent.peers);
	free(config->lent.suites);
	wipe_text(config->lent.password);
	wipe_text(config->lent.psk);
	free(config);
}

/* ---- looking at it ---- */

const struct smq_settings *smq_config_settings(const smq_config *config) { return &config->settings; }

const char *smq_config_file(const smq_config *config) { return config->file; }

void smq_config_note_file(smq_config *config, char *path)
{
	free(config->file);
	config->file = path;
}

struct smq_config_lent *smq_config_lent(smq_config *config) { return &config->lent; }

const char *smq_config_raw(const smq_config *config, size_t row) { return config->entries[row].joined; }

bool smq_config_file_holds_secret(const smq_config *config)
{
	for (size_t i = 0; i < smq_settings_row_count; i++) {
		if (smq_settings_rows[i].key.secret && config->entries[i].origin == SMQ_ORIGIN_FILE)
			return true;
	}
	return false;
}

static const struct entry *entry_of(const smq_config *config, const struct smq_config_key *key)
{
	static const struct entry none;
	size_t row = smq_settings_find(key->name);
	return row == SIZE_MAX ? &none : &config->entries[row];
}

bool smq_config_is_set(const smq_config *config, const struct smq_config_key *key)
{
	return entry_of(config, key)->joined != NULL;
}

enum smq_origin smq_config_origin(const smq_config *config, const struct smq_config_key *key, const char **ret_from)
{
	const struct entry *e = entry_of(config, key);
	if (ret_from)
		*ret_from = e->from ? e->from : "";
	return e->origin;
}

static const char masked[] = "********";

void smq_config_text(const smq_config *config, const struct smq_config_key *key, char *ret_text, size_t room)
{
	const struct entry *e = entry_of(config, key);
	size_t len = 0;
	if (room > 0)
		ret_text[0] = 0;
	if (key->secret && e->joined) {
		(void)smq_escape(smq_span_str(masked), ret_text, room);
		return;
	}
	for (size_t i = 0; i < e->count && len + 1 < room; i++) {
		if (i > 0)
			len += smq_escape(smq_span_str(", "), ret_text + len, room - len);
		len += smq_escape(smq_span_str(e->items[i]), ret_text + len, room - len);
	}
}

static void list_json(const struct entry *e, struct smq_json *j)
{
	smq_json_array(j);
	for (size_t i = 0; i < e->count; i++)
		smq_json_str(j, e->items[i]);
	smq_json_end(j);
}

void smq_config_json(const smq_config *config, const struct smq_config_key *key, struct smq_json *j)
{
	const struct entry *e = entry_of(config, key);
	size_t row = smq_settings_find(key->name);
	const void *place = (const char *)&config->settings + (row == SIZE_MAX ? 0 : smq_settings_rows[row].offset);
	if (!e->joined)
		smq_json_null(j);
	else if (key->secret)
		smq_json_str(j, masked);
	else if (smq_settings_is_list(key->type))
		list_json(e, j);
	else if (key->type == SMQ_CONFIG_FLAG)
		smq_json_bool(j, *(const bool *)place);
	else if (key->type == SMQ_CONFIG_NUMBER)
		smq_json_int(j, *(const int64_t *)place);
	else if (key->type == SMQ_CONFIG_DECIMAL)
		smq_json_double(j, *(const double *)place);
	else
		smq_json_str(j, e->items[0]);
}

/* ---- what must fit together ---- */

static bool given(const smq_config *config, const char *name)
{
	const struct entry *e = &config->entries[smq_settings_find(name)];
	return e->joined && e->origin > SMQ_ORIGIN_DEFAULT;
}

static smq_err misfit(const smq_config *config, const char *name, const char *text, const char **ret_why)
{
	const struct entry *e = &config->entries[smq_settings_find(name)];
	char shown[200];
	(void)smq_escape(smq_span_str(e->from ? e->from : ""), shown, sizeof(shown));
	(void)snprintf(smq_config_why(), SMQ_CONFIG_WHY_MAX, "%s%skey '%s': %s", shown, *shown ? ": " : "", name, text);
	return say(SMQ_ERR_CONFIG, ret_why);
}

static bool is_topic_placeholder_right(const char *topic)
{
	const char *to = topic ? strstr(topic, "{to}") : NULL;
	return !topic || (!to && !strpbrk(topic, "{}")) ||
	       (to && strcspn(topic, "{}") == (size_t)(to - topic) && !strpbrk(to + 4, "{}"));
}

smq_err smq_config_check(const smq_config *config, const char **ret_why)
{
	const struct smq_settings *s = &config->settings;
	const struct {
		bool bad;
		const char *key, *text;
	} rules[] = {
		{ s->broker.tls.cert_file && !s->broker.tls.key_file, "broker.tls.cert_file",
		  "needs its private key; give broker.tls.key_file too" },
		{ s->broker.tls.key_file && !s->broker.tls.cert_file, "broker.tls.key_file",
		  "needs its certificate; give broker.tls.cert_file too" },
		{ s->broker.tls.cert_file && !s->broker.tls.ca_file && !s->broker.tls.ca_dir &&
		      !s->broker.tls.os_certs && !s->broker.tls.by_realm,
		  "broker.tls.cert_file",
		  "needs TLS; give broker.tls.ca_file (or ca_dir, or os_certs or by_realm: true) too" },
		{ s->broker.psk_file && (s->broker.tls.ca_file || s->broker.tls.ca_dir || s->broker.tls.os_certs ||
					 s->broker.tls.by_realm || s->broker.tls.cert_file),
		  "broker.tls.psk_file", "stands beside certificates; keep one of them" },
		{ s->broker.psk_file && !s->broker.tls.psk_identity, "broker.tls.psk_file",
		  "needs its name; give broker.tls.psk_identity too" },
		{ s->broker.tls.psk_identity && !s->broker.psk_file, "broker.tls.psk_identity",
		  "needs the key; give broker.tls.psk_file too" },
		{ s->will.payload && !s->will.topic, "will.payload", "needs a topic; give will.topic too" },
		{ s->will.qos != 0 && !s->will.topic, "will.qos", "needs a topic; give will.topic too" },
		{ s->will.retain && !s->will.topic, "will.retain", "needs a topic; give will.topic too" },
		{ given(config, "proof.checkpoint_messages") &&
		      (!s->proof.sign || strcmp(s->proof.sign, "checkpoint") != 0),
		  "proof.checkpoint_messages", "is of checkpoints; give proof.sign: checkpoint too" },
		{ s->broker.password && s->broker.password_file, "broker.password",
		  "stands beside broker.password_file; keep one of them" },
		{ (s->broker.password || s->broker.password_file) && !s->broker.username,
		  s->broker.password ? "broker.password" : "broker.password_file",
		  "needs a name to go with it; give broker.username too" },
		{ s->broker.backoff_min_ms > s->broker.backoff_max_ms, "broker.backoff_min",
		  "is longer than broker.backoff_max; make it shorter" },
		{ !s->broker.clean_start && !s->broker.client_id, "broker.clean_start",
		  "is false, so the broker must know us again; give broker.client_id too" },
		{ given(config, "source.interval") && given(config, "source.rate"), "source.rate",
		  "stands beside source.interval; keep one of them" },
		{ s->peers.any && s->peers.from.count > 0, "peers.any", "stands beside peers.from; keep one of them" },
		{ !is_topic_placeholder_right(s->keyex.topic), "keyex.topic",
		  "holds braces that are not {to}; write it once, e.g. sealmq/plant/keyex/{to}" },
	};
	for (size_t i = 0; i < SMQ_COUNT(rules); i++) {
		if (rules[i].bad)
			return misfit(config, rules[i].key, rules[i].text, ret_why);
	}
	return SMQ_OK;
}
