/* Three kinds of telemetry whose values wander as real ones do. */
#include "app/telemetry_generate.h"

#include <stdio.h>

#include "base/table.h"

struct moment {
	int year, month, day, hour, minute, second, ms; /* month 1 to 12 */
};

/* UTC by the Gregorian calendar, years counted from March so that the leap day comes last. Unix times from 1970 on. */
static struct moment utc(int64_t time_ms)
{
	int64_t days = time_ms / 86400000 + 719468; /* from 0000-03-01 */
	int rest = (int)(time_ms % 86400000);
	int64_t era = days / 146097;
	int64_t day = days % 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int yday = (int)(day - (365 * year + year / 4 - year / 100));
	int month = (5 * yday + 2) / 153;
	struct moment m = { .day = yday - (153 * month + 2) / 5 + 1, .month = month < 10 ? month + 3 : month - 9 };
	m.year = (int)(year + era * 400) + (m.month <= 2 ? 1 : 0);
	m.hour = rest / 3600000;
	m.minute = rest / 60000 % 60;
	m.second = rest / 1000 % 60;
	m.ms = rest % 1000;
	return m;
}

static void put_rfc3339(char ret_text[SMQ_GENERATED_TEXT_MAX], int64_t time_ms)
{
	struct moment m = utc(time_ms);
	(void)snprintf(ret_text, SMQ_GENERATED_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", m.year % 10000, m.month,
		       m.day, m.hour, m.minute, m.second, m.ms);
}

/* Moves a level by at most `step`, bouncing off its bounds. */
static int wander(struct smq_generator *g, int level, int step, int low, int high)
{
	level += (int)smq_prng_below(&g->prng, (unsigned)(2 * step + 1)) - step;
	return level < low ? 2 * low - level : level > high ? 2 * high - level : level;
}

/* As in TON_IoT: hundredths of a degree in steps of 5 from 1 to 14, "low" below 6; stretches of an attack in between.
 * level[0]: temperature / 0.05, level[1]: index of the present type. */
static void make_fridge(struct smq_generator *g, int64_t time_ms)
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	static const char *const types[] = {
		"normal", "ddos", "backdoor", "injection", "password", "ransomware", "xss"
	};
	struct moment m = utc(time_ms);
	g->level[0] = g->level[0] ? wander(g, g->level[0], 30, 20, 280) : 100;
	if (g->left == 0) {
		bool attack = g->level[1] == 0 && smq_prng_below(&g->prng, 4) != 0;
		g->level[1] = attack ? 1 + (int)smq_prng_below(&g->prng, SMQ_COUNT(types) - 1) : 0;
		g->left = 20 + smq_prng_below(&g->prng, 60);
	}
	g->left--;
	int hundredths = g->level[0] * 5;
	(void)snprintf(g->text[0], sizeof(g->text[0]), "%d-%s-%02d", m.day, months[m.month - 1], m.year % 100);
	(void)snprintf(g->text[1], sizeof(g->text[1]), "%02d:%02d:%02d", m.hour, m.minute, m.second);
	(void)snprintf(g->text[2], sizeof(g->text[2]), "%d.%02d", hundredths / 100, hundredths % 100);
	(void)snprintf(g->text[3], sizeof(g->text[3]), "%s", hundredths < 600 ? "low" : "high");
	(void)snprintf(g->text[4], sizeof(g->text[4]), "%d", g->level[1] ? 1 : 0);
	(void)snprintf(g->text[5], sizeof(g->text[5]), "%s", types[g->level[1]]);
}

/* Eight patients take turns; level[n]: heart rate of patient n. */
static void make_vitals(struct smq_generator *g, int64_t time_ms)
{
	unsigned patient = smq_prng_below(&g->prng, 8);
	int *rate = &g->level[patient];
	*rate = *rate ? wander(g, *rate, 3, 48, 140) : 60 + (int)smq_prng_below(&g->prng, 30);
	int tenths = 360 + (int)smq_prng_below(&g->prng, 12) + (*rate > 100 ? (*rate - 100) / 2 : 0);
	int spo2 = 99 - (int)smq_prng_below(&g->prng, 4) - (*rate > 120 ? (int)smq_prng_below(&g->prng, 6) : 0);
	(void)snprintf(g->text[0], sizeof(g->text[0]), "patient-%02u", patient + 1);
	(void)snprintf(g->text[1], sizeof(g->text[1]), "%d", *rate);
	(void)snprintf(g->text[2], sizeof(g->text[2]), "%d.%d", tenths / 10, tenths % 10);
	(void)snprintf(g->text[3], sizeof(g->text[3]), "%d", spo2);
	put_rfc3339(g->text[4], time_ms);
}

/* Meters that only ever count up; level[n]: thousandths of meter n's unit. */
static void make_energy(struct smq_generator *g, int64_t time_ms)
{
	static const char *const types[] = { "electricity_kwh", "gas_m3", "water_m3", "heat_kwh" };
	static const int usual[] = { 420, 90, 35, 610 };
	unsigned meter = smq_prng_below(&g->prng, SMQ_COUNT(types));
	int *level = &g->level[meter];
	int limit = 99999999; /* the register overflows, as real ones do */
	*level = (*level ? *level : 1000000 + (int)smq_prng_below(&g->prng, 9000000)) +
		 (int)smq_prng_below(&g->prng, (unsigned)usual[meter] * 2);
	*level = *level > limit ? *level - limit : *level;
	(void)snprintf(g->text[0], sizeof(g->text[0]), "auditor-%02u", 1 + meter / 2);
	put_rfc3339(g->text[1], time_ms);
	(void)snprintf(g->text[2], sizeof(g->text[2]), "%s", types[meter]);
	(void)snprintf(g->text[3], sizeof(g->text[3]), "%d.%03d", *level / 1000, *level % 1000);
}

static const struct smq_generator_kind kinds[] = {
	{ "fridge",
	  6,
	  { "date", "time", "fridge_temperature", "temp_condition", "label", "type" },
	  { SMQ_COLUMN_DATE, SMQ_COLUMN_TIME, SMQ_COLUMN_FLOAT, SMQ_COLUMN_TEXT, SMQ_COLUMN_INTEGER, SMQ_COLUMN_TEXT },
	  5000,
	  make_fridge },
	{ "vitals",
	  5,
	  { "patient_id", "heart_rate", "temperature", "spo2", "timestamp" },
	  { SMQ_COLUMN_TEXT, SMQ_COLUMN_INTEGER, SMQ_COLUMN_FLOAT, SMQ_COLUMN_INTEGER, SMQ_COLUMN_TIMESTAMP },
	  1000,
	  make_vitals },
	{ "energy",
	  4,
	  { "auditor_id", "measured_timestamp", "measure_type", "measure" },
	  { SMQ_COLUMN_TEXT, SMQ_COLUMN_TIMESTAMP, SMQ_COLUMN_TEXT, SMQ_COLUMN_FLOAT },
	  900000,
	  make_energy },
};

const struct smq_generator_kind *smq_generator_find(const char *name)
{
	for (size_t i = 0; i < SMQ_COUNT(kinds); i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	}
	return NULL;
}

void smq_generator_init(struct smq_generator *g, const struct smq_generator_kind *kind, uint64_t seed)
{
	*g = (struct smq_generator){ .kind = kind, .prng = { seed }, .left = 30 }; /* a calm beginning */
}

void smq_generator_next(struct smq_generator *g, int64_t time_ms) { g->kind->make(g, time_ms); }
